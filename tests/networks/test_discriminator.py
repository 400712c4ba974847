"""The discriminator against PyTorch's own layers, and its options against their papers."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dcgan.networks import Discriminator
from tests.networks.reference import assert_same_function_and_gradients, count_parameters

PAPER = dict(batch_norm_D=True, bias_D=False)  # Radford et al. 2015


def reference_D(width=64, channels=3, batch_norm=True, bias=False) -> nn.Sequential:
    layers: list[nn.Module] = []
    in_channels = channels
    for out_channels in (width, 2 * width, 4 * width, 8 * width):
        norm = [nn.BatchNorm2d(out_channels)] if batch_norm and layers else []
        layers += [nn.Conv2d(in_channels, out_channels, 4, 2, 1, bias=bias), *norm]
        layers += [nn.LeakyReLU(0.2)]
        in_channels = out_channels
    return nn.Sequential(*layers, nn.Conv2d(in_channels, 1, 4, bias=False), nn.Flatten(0))


def test_the_papers_D_has_as_many_parameters_as_pytorchs_example():
    assert count_parameters(Discriminator(**PAPER)) == 2_765_568


@pytest.mark.parametrize(("batch_norm", "bias"), [(True, False), (False, True), (False, False)])
def test_it_computes_the_same_as_pytorchs_layers(batch_norm, bias):
    D = Discriminator(width=8, batch_norm_D=batch_norm, bias_D=bias)
    reference = reference_D(8, batch_norm=batch_norm, bias=bias)
    x = torch.randn(5, 3, 64, 64, dtype=torch.float64)
    assert_same_function_and_gradients(D, reference, x)


@pytest.mark.parametrize("size", [8, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kernel_size", [4, 5])
def test_features_halve_down_to_a_side_of_4(size, channels, kernel_size):
    D = Discriminator(size, channels, 2, kernel_size)
    x = torch.randn(2, channels, size, size)
    assert D(x).shape == (2,)
    sides = [maps.shape[-1] for maps in D.features(x)]
    assert sides == [size // 2**i for i in range(1, len(sides) + 1)] and sides[-1] == 4


def test_there_is_no_batch_norm_at_the_input():
    D = Discriminator(width=2, **PAPER)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in D.blocks[0])
    assert sum(isinstance(m, nn.BatchNorm2d) for m in D.modules()) == 3


def test_a_larger_image_gets_the_mean_logit_of_its_windows():
    D = Discriminator(32, width=4).eval()
    x = torch.rand(2, 3, 48, 32) * 2 - 1
    score_map = D.score(D.features(x)[-1])
    assert score_map.shape == (2, 1, 3, 1)
    torch.testing.assert_close(D(x), score_map.mean((1, 2, 3)))


def test_D_is_homogeneous_without_biases_and_not_with_them():
    torch.manual_seed(0)
    x = torch.randn(4, 3, 16, 16)
    unbiased = Discriminator(16, width=4, batch_norm_D=False, bias_D=False)
    assert not any(name.endswith("bias") for name, _ in unbiased.named_parameters())
    torch.testing.assert_close(unbiased(3 * x), 3 * unbiased(x))
    biased = Discriminator(16, width=4, batch_norm_D=False, bias_D=True)
    biased.load_state_dict(unbiased.state_dict(), strict=False)
    assert torch.equal(biased(x), unbiased(x)), "biases start as zero"
    maps = x
    for block in biased.blocks:
        nn.init.normal_(block[0].bias)
        maps = F.conv2d(maps, block[0].weight, block[0].bias, stride=2, padding=1)
        maps = F.leaky_relu(maps, 0.2)
    torch.testing.assert_close(biased(x), F.conv2d(maps, biased.score.weight).flatten())
    assert not torch.allclose(biased(3 * x), 3 * biased(x))


def test_biases_keep_bf16_features_in_bf16():
    D = Discriminator(32, width=4, batch_norm_D=False, bias_D=True)
    with torch.autocast("cpu", torch.bfloat16):
        features = D.features(torch.randn(4, 3, 32, 32))
    assert {maps.dtype for maps in features} == {torch.bfloat16}
    sum(maps.float().sum() for maps in features).backward()
    assert {block[0].bias.grad.dtype for block in D.blocks} == {torch.float32}


def test_layers_with_batch_norm_have_no_other_bias():
    D = Discriminator(32, width=4, batch_norm_D=True, bias_D=True)
    assert [block[0].bias is not None for block in D.blocks] == [True, False, False]


def test_a_conditional_D_adds_the_product_of_embedding_and_features():
    """Miyato and Koyama 2018, equation 3: y'V phi(x) + psi(phi(x)), phi the mean over pixels."""
    torch.manual_seed(0)
    D = Discriminator(16, width=4, batch_norm_D=False, num_labels=3).double()
    x = torch.rand(5, 3, 16, 16, dtype=torch.float64) * 2 - 1
    labels = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1]]).double()
    maps = D.features(x)[-1].detach().numpy()
    phi = maps.mean((2, 3))
    psi = (maps * D.score.weight.detach().numpy()).sum((1, 2, 3))
    V = D.embed.weight.detach().numpy()  # [features, labels]
    expected = ((labels.numpy() @ V.T) * phi).sum(1) + psi
    torch.testing.assert_close(D(x, labels).detach(), torch.from_numpy(expected))
    with pytest.raises(ValueError, match="a conditional D needs labels"):
        D(x)


def test_spectral_norm_divides_every_kernel_by_its_largest_singular_value():
    """Of every kernel as a matrix of its outputs (Miyato et al. 2018, section 2.1)."""
    torch.manual_seed(0)
    D = Discriminator(16, width=4, batch_norm_D=False, spectral_norm=True, num_labels=2)
    x, labels = torch.rand(4, 3, 16, 16), torch.ones(4, 2)
    for _ in range(60):  # each is one step of the power iteration
        D(x, labels)
    D.eval()
    weights = [module.weight for module in (*(block[0] for block in D.blocks), D.score, D.embed)]
    assert len(weights) == 4
    for weight in weights:
        largest = torch.linalg.matrix_norm(weight.detach().flatten(1), 2)
        assert largest.item() == pytest.approx(1, abs=0.02)
    before = D(x, labels)
    assert torch.equal(D(x, labels), before), "evaluation must not change the weights"


@pytest.mark.parametrize(
    "options",
    [{}, dict(minibatch_std=True), dict(num_labels=3), dict(spectral_norm=True, num_labels=3)],
    ids=str,
)
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_logits_of_bf16_features_are_computed_in_float32(options, offset):
    """A relativistic loss leaves the offset of the logits free: bf16 rounds 300.4 to 300."""
    torch.manual_seed(0)
    D = Discriminator(16, width=16, **options).eval()
    with torch.no_grad():
        D.blocks[-1][0].bias.fill_(offset)
        for weight in D.score.parameters():
            weight.abs_()
    x = torch.rand(1, 3, 16, 16) + 0.1 * torch.rand(64, 3, 16, 16)  # images of little difference
    labels = torch.tensor([[1.0, 0, 1]]).expand(64, 3) if D.embed else None
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        maps, found = D.features(x)[-1], D(x, labels)
    assert (maps.dtype, found.dtype) == (torch.bfloat16, torch.float32)
    exact, maps = copy.deepcopy(D).double(), maps.double()
    with_std = exact.minibatch_std(maps) if exact.minibatch_std else maps
    expected = exact.score(with_std).mean((1, 2, 3))
    if exact.embed:
        expected += (exact.embed(labels.double()) * maps.mean((2, 3))).sum(1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
    if offset:
        assert len(expected.bfloat16().unique()) < 10 < 50 < len(found.unique())


@pytest.mark.parametrize(
    "options",
    [dict(), dict(batch_norm_D=True, bias_D=False), dict(minibatch_std=True), dict(num_labels=3)],
    ids=str,
)
def test_batches_in_one_pass_do_not_see_each_other(options):
    """Not even in the running statistics of batch norm."""
    torch.manual_seed(0)
    together = Discriminator(size=16, width=8, **options).double()
    apart = copy.deepcopy(together)
    real, fake = torch.rand(8, 3, 16, 16).double(), 2 - torch.randn(8, 3, 16, 16).double()
    labels = torch.eye(3, dtype=torch.float64)[torch.arange(8) % 3]
    found = together(torch.cat([real, fake]), labels.repeat(2, 1), batches=2)
    expected = torch.cat([apart(real, labels), apart(fake, labels)])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(together.state_dict(), apart.state_dict())
