"""The networks are those of the paper, and the same ones as PyTorch's own layers would make."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dcgan.networks import (
    Discriminator,
    Generator,
    StridedConv2d,
    StridedConvTranspose2d,
    discriminator,
)
from dcgan.networks.layers import LatentProjection, MinibatchStdLayer, feature_channels


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def test_default_networks_have_the_size_of_the_well_known_example():
    assert parameters(Generator()) == 3_576_704
    assert parameters(Discriminator()) == 2_765_568


def test_paper_widths():
    assert feature_channels(64, 128) == [1024, 512, 256, 128]
    assert feature_channels(256, 64) == [512, 512, 512, 256, 128, 64]
    assert feature_channels(32, 64) == [256, 128, 64]


def reference_G(latent_dim=100, w=64, channels=3) -> nn.Sequential:
    """Figure 1 of the paper in PyTorch's own layers, with 4x4 kernels."""
    layers, inputs = [nn.ConvTranspose2d(latent_dim, 8 * w, 4, 1, 0, bias=False)], 8 * w
    for outputs in (4 * w, 2 * w, w, channels):
        layers += [nn.BatchNorm2d(inputs), nn.ReLU()]
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
        inputs = outputs
    return nn.Sequential(*layers, nn.Tanh())


def reference_D(w=64, channels=3) -> nn.Sequential:
    layers, inputs = [nn.Conv2d(channels, w, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)], w
    for outputs in (2 * w, 4 * w, 8 * w):
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
        inputs = outputs
    return nn.Sequential(*layers, nn.Conv2d(inputs, 1, 4, 1, 0, bias=False), nn.Flatten(0))


@pytest.mark.parametrize(
    ("ours", "reference", "shape"),
    [
        (Generator(width=8), reference_G(w=8), (5, 100, 1, 1)),
        (Discriminator(width=8), reference_D(w=8), (5, 3, 64, 64)),
    ],
)
def test_same_function_and_gradients_as_plain_layers(ours, reference, shape):
    ours, reference = ours.double(), reference.double()
    state = dict(zip(reference.state_dict(), ours.state_dict().values(), strict=True))
    reference.load_state_dict(state)
    x = torch.randn(shape, dtype=torch.float64)
    out, expected = ours(x), reference(x)
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    for p, q in zip(ours.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
    ours.eval(), reference.eval()
    torch.testing.assert_close(ours(x), reference(x))


@pytest.mark.parametrize("kernel_size", [4, 5])
def test_up_is_the_transpose_of_down(kernel_size):
    """<down(x), y> = <x, up(y)> for the same kernel: what "transposed convolution" means."""
    down = StridedConv2d(3, 7, kernel_size).double()
    up = StridedConvTranspose2d(7, 3, kernel_size).double()
    with torch.no_grad():
        up.weight.copy_(down.weight.normal_())
    x, y = torch.randn(2, 3, 16, 16).double(), torch.randn(2, 7, 8, 8).double()
    torch.testing.assert_close((down(x) * y).sum(), (x * up(y)).sum())


@pytest.mark.parametrize("size", [8, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kernel_size", [4, 5])
def test_every_size_fits_together(size, channels, kernel_size):
    G = Generator(size, channels, 2, 10, kernel_size=kernel_size)
    D = Discriminator(size, channels, 2, kernel_size)
    x = G(torch.randn(2, 10))
    assert x.shape == (2, channels, size, size)
    assert -1 <= x.min() < 0 < x.max() <= 1
    assert D(x).shape == (2,)
    sides = [f.shape[-1] for f in D.features(x)]
    assert sides[0] == size // 2 and sides[-1] == 4


def test_no_batch_norm_at_Gs_output_and_Ds_input():
    G, D = Generator(width=2), Discriminator(width=2)
    assert [type(m) for m in list(G.layers)[-2:]] == [StridedConvTranspose2d, nn.Tanh]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in D.blocks[0])
    assert sum(isinstance(m, nn.BatchNorm2d) for m in G.modules()) == 4
    assert sum(isinstance(m, nn.BatchNorm2d) for m in D.modules()) == 3


def test_initial_weights_follow_the_paper():
    torch.manual_seed(0)
    layers = (StridedConvTranspose2d, StridedConv2d, nn.Conv2d, nn.ConvTranspose2d)
    for network in (Generator(), Discriminator()):
        for module in network.modules():
            if isinstance(module, layers):
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)
                assert module.weight.mean().item() == pytest.approx(0, abs=1e-3)
            if isinstance(module, nn.BatchNorm2d):
                assert module.weight.mean().item() == pytest.approx(1, abs=0.01)
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.4)
                assert not module.bias.any()


def test_a_grid_of_latents_gives_a_larger_image_that_moves_with_it():
    """Away from the borders, moving the latents by one moves the picture by size / 4 pixels."""
    G = Generator(32, width=4, latent_dim=6).eval()
    z = torch.randn(1, 6, 2, 9) * 30
    large, moved = G(z), G(z.roll(1, 3))
    assert large.shape == (1, 3, 8 * (2 + 3), 8 * (9 + 3))
    torch.testing.assert_close(large[..., 40:48], moved[..., 48:56])
    assert (large[..., 40:48] - moved[..., 40:48]).abs().max() > 1e-3


def test_a_larger_image_gets_the_mean_logit_of_its_windows():
    D = Discriminator(32, width=4).eval()
    x = torch.rand(2, 3, 48, 32) * 2 - 1
    score_map = D.score(D.features(x)[-1])
    assert score_map.shape == (2, 1, 3, 1)
    torch.testing.assert_close(D(x), score_map.mean((1, 2, 3)))


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("grid", [(1, 1), (2, 3)])
def test_the_first_layer_is_a_transposed_convolution(grid, order):
    torch.manual_seed(0)
    layer = LatentProjection(5, 6, 4, bias=False).double().to(memory_format=order)
    z = torch.randn(3, 5, *grid, dtype=torch.float64, requires_grad=True)
    expected = F.conv_transpose2d(z, layer.weight)
    torch.testing.assert_close(layer(z), expected)
    assert layer(z).is_contiguous(memory_format=torch.channels_last) or grid != (1, 1)
    upstream = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(layer(z), (z, layer.weight), upstream),
        torch.autograd.grad(expected, (z, layer.weight), upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_G_can_be_mapped_over_latents_and_weights():
    G = Generator(16, width=2, latent_dim=6).eval()
    z = torch.randn(3, 2, 6)
    torch.testing.assert_close(torch.func.vmap(G)(z), torch.stack([G(one) for one in z]))
    weights = {name: torch.stack([p, 2 * p]) for name, p in G.named_parameters()}

    def draw(parameters):
        return torch.func.functional_call(G, parameters, (z[0],))

    each = [draw({name: p[i] for name, p in weights.items()}) for i in (0, 1)]
    torch.testing.assert_close(torch.func.vmap(draw)(weights), torch.stack(each))


def test_without_batch_norm_activations_keep_their_size_at_every_depth(monkeypatch):
    """Before the scales of D's kernels are brought together."""
    monkeypatch.setattr(discriminator, "equalize_kernel_scales", lambda D: None)
    torch.manual_seed(0)
    D = Discriminator(128, width=16, batch_norm_D=False)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in D.modules())
    sizes = [maps.square().mean().sqrt().item() for maps in D.features(torch.randn(8, 3, 128, 128))]
    for before, after in itertools.pairwise(sizes):
        assert 0.6 < after / before < 1.6, sizes


def test_bringing_the_scales_of_Ds_kernels_together_leaves_it_the_same_function(monkeypatch):
    """Their ratios are square roots of those by He et al. 2015 and, of the last one, 0.02."""

    def D():
        torch.manual_seed(0)
        return Discriminator(128, width=16, batch_norm_D=False, bias_D=True, num_labels=5)

    paced = D()
    monkeypatch.setattr(discriminator, "equalize_kernel_scales", lambda D: None)
    plain = D()
    kernels = [*(block[0].weight for block in paced.blocks), paced.score.weight]
    spreads = [(2 / (1 + 0.2**2) / kernel[0].numel()) ** 0.5 for kernel in kernels[:-1]] + [0.02]
    for (wide, spread), (narrow, its) in itertools.pairwise(zip(kernels, spreads, strict=True)):
        ratio = (wide.std() / narrow.std()).item()
        assert ratio == pytest.approx((spread / its) ** 0.5, rel=0.05)
    x, labels = torch.randn(8, 3, 128, 128), torch.eye(8, 5)
    for wanted in labels, 0 * labels:
        torch.testing.assert_close(paced(x, wanted), plain(x, wanted), rtol=1e-4, atol=1e-6)


def test_without_biases_and_norms_D_is_homogeneous_and_with_biases_it_is_not():
    torch.manual_seed(0)
    x = torch.randn(4, 3, 16, 16)
    without = Discriminator(16, width=4, batch_norm_D=False)
    assert not any(name.endswith("bias") for name, _ in without.named_parameters())
    torch.testing.assert_close(without(3 * x), 3 * without(x))
    biased = Discriminator(16, width=4, batch_norm_D=False, bias_D=True)
    biased.load_state_dict(without.state_dict(), strict=False)
    assert torch.equal(biased(x), without(x)), "biases start as zero"
    maps = x
    for block in biased.blocks:
        torch.nn.init.normal_(block[0].bias)
        maps = F.conv2d(maps, block[0].weight, block[0].bias, stride=2, padding=1)
        maps = F.leaky_relu(maps, 0.2)
    expected = F.conv2d(maps, biased.score.weight).flatten()
    torch.testing.assert_close(biased(x), expected)
    assert not torch.allclose(biased(3 * x), 3 * biased(x))


def test_maps_in_bf16_stay_so_with_biases():
    D = Discriminator(32, width=4, batch_norm_D=False, bias_D=True)
    with torch.autocast("cpu", torch.bfloat16):
        maps = D.features(torch.randn(4, 3, 32, 32))
    assert {m.dtype for m in maps} == {torch.bfloat16}
    sum(m.float().sum() for m in maps).backward()
    assert {block[0].bias.grad.dtype for block in D.blocks} == {torch.float32}


def test_batch_norm_is_what_biases_a_layer_that_has_it():
    D = Discriminator(32, width=4, batch_norm_D=True, bias_D=True)
    assert [block[0].bias is not None for block in D.blocks] == [True, False, False]


@pytest.mark.parametrize(("count", "members"), [(8, 4), (4, 4), (6, 6), (1, 1)])
def test_minibatch_std_is_the_mean_spread_within_groups(count, members):
    """Images that are count / 4 apart are a group; Karras et al. 2018, section 3, in NumPy."""
    x = torch.randn(count, 5, 4, 4, dtype=torch.float64)
    found = MinibatchStdLayer()(x)
    assert torch.equal(found[:, :5], x)
    assert found.shape == (count, 6, 4, 4)
    for i in range(count):
        group = x[i % (count // members) :: count // members].numpy()
        assert len(group) == members
        expected = group.std(axis=0).mean()
        torch.testing.assert_close(
            found[i, 5], torch.full((4, 4), float(expected)).double(), rtol=1e-4, atol=2e-4
        )


def test_minibatch_std_has_finite_derivatives_where_images_are_equal():
    x = torch.zeros(4, 2, 4, 4, requires_grad=True)
    MinibatchStdLayer()(x).square().sum().backward()
    assert x.grad.isfinite().all()


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


def test_labels_enter_the_first_layer_of_a_conditional_G():
    """No label gives what an unconditional G with the other kernels gives."""
    G = Generator(16, width=4, latent_dim=6, num_labels=2)
    plain = Generator(16, width=4, latent_dim=6)
    weights = G.state_dict()
    weights["layers.0.weight"] = weights["layers.0.weight"][:6]
    plain.load_state_dict(weights)
    z = torch.randn(3, 6)
    none, first = (torch.tensor(label).expand(3, 2) for label in ([0.0, 0.0], [1.0, 0.0]))
    torch.testing.assert_close(G(torch.cat([z, none], 1)), plain(z))
    assert not torch.allclose(G(torch.cat([z, first], 1)), plain(z), atol=1e-4)


def test_spectral_norm_brings_every_largest_singular_value_to_one():
    """Of every kernel as a matrix of its outputs, as in Miyato et al. 2018, section 2.1."""
    torch.manual_seed(0)
    D = Discriminator(16, width=4, batch_norm_D=False, spectral_norm=True, num_labels=2)
    x, labels = torch.rand(4, 3, 16, 16), torch.ones(4, 2)
    for _ in range(60):  # each makes one step of the power iteration
        D(x, labels)
    D.eval()
    weights = [module.weight for module in (*(block[0] for block in D.blocks), D.score, D.embed)]
    assert len(weights) == 4
    for weight in weights:
        largest = torch.linalg.matrix_norm(weight.detach().flatten(1), 2)
        assert largest.item() == pytest.approx(1, abs=0.02)
    before = D(x, labels)
    assert torch.equal(D(x, labels), before), "evaluation changes nothing"
