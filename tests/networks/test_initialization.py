"""Initial weights, and the networks that a configuration and the constructors' defaults build."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from dcgan.config import TrainConfig
from dcgan.latent import Labels, noise_from_seeds
from dcgan.networks import (
    Discriminator,
    Generator,
    StridedConv2d,
    StridedConvTranspose2d,
    build_networks,
    discriminator,
)


def test_initial_weights_follow_the_paper():
    torch.manual_seed(0)
    layers = (StridedConvTranspose2d, StridedConv2d, nn.Conv2d, nn.ConvTranspose2d)
    for network in (Generator(), Discriminator(batch_norm_D=True, bias_D=False)):
        for module in network.modules():
            if isinstance(module, layers):
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)
                assert module.weight.mean().item() == pytest.approx(0, abs=1e-3)
            if isinstance(module, nn.BatchNorm2d):
                assert module.weight.mean().item() == pytest.approx(1, abs=0.01)
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.4)
                assert not module.bias.any()


def classes(counts) -> Labels:
    images = np.repeat(np.arange(len(counts)), counts)
    return Labels.from_images("class", tuple(map(str, range(len(counts)))), images)


def attributes(count: int, share: float) -> Labels:
    """Each second one is the same as the one before."""
    half = np.random.default_rng(0).random((2000, count // 2)) < share
    rows = half.repeat(2, axis=1).astype(np.uint8)
    return Labels.from_images("attributes", tuple(map(str, range(count))), rows)


@pytest.mark.parametrize(("latent", "latent_dim"), [("normal", 100), ("uniform", 30)])
@pytest.mark.parametrize(
    "labels",
    [
        classes([7, 7]),
        classes([5] * 10),
        classes([3] * 1000),
        classes(1000 // np.arange(1, 200)),
        attributes(4, 0.5),
        attributes(40, 0.2),
    ],
    ids=[
        "2 classes",
        "10 classes",
        "1000 classes",
        "unlike classes",
        "4 attributes",
        "40 attributes",
    ],
)
def test_labels_and_latents_contribute_equal_variances_to_the_first_maps(
    latent, latent_dim, labels
):
    torch.manual_seed(0)
    config = TrainConfig(size=16, latent_dim=latent_dim, latent=latent)
    G, _ = build_networks(config, len(labels.names), labels.variance())
    z, numbers = noise_from_seeds(range(2000), latent_dim, latent), labels.from_seeds(range(2000))
    of_latents, of_labels = (
        G.layers[0](torch.cat(parts, 1)[:, :, None, None]).var(0).mean().item()
        for parts in ([z, 0 * numbers], [0 * z, numbers])
    )
    assert of_labels / of_latents == pytest.approx(1, rel=0.1)
    assert G.layers[0].weight[:latent_dim].std().item() == pytest.approx(0.02, rel=0.05)


def test_a_generator_by_itself_is_for_one_of_many_classes():
    torch.manual_seed(0)
    G = Generator(16, latent_dim=50, num_labels=1000)
    latents, labels = G.layers[0].weight.split([50, 1000])
    assert (labels.std() / latents.std()).item() == pytest.approx(50**0.5, rel=0.05)


def test_rows_of_labels_that_hardly_vary_stay_bounded():
    """A class of one image in a thousand, or no variance at all: rows as of an even attribute."""
    for labels in (classes([9990, 10]), classes([5]), attributes(2, 0.0)):
        torch.manual_seed(0)
        G = Generator(16, num_labels=len(labels.names), label_variance=labels.variance())
        latents, rows = G.layers[0].weight.split([100, len(labels.names)])
        assert (rows.std() / latents.std()).item() == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize("batch_norm_D", [False, True])
def test_the_projection_starts_as_that_of_features_summed_over_positions(batch_norm_D):
    """By an embedding with the standard deviation of the score's kernel."""
    torch.manual_seed(0)
    D = Discriminator(32, batch_norm_D=batch_norm_D, bias_D=False, num_labels=1000)
    maps = D.features(torch.rand(64, 3, 32, 32) * 2 - 1)[-1]
    found = (maps.mean((2, 3)) @ D.embed.weight).square().mean()
    expected = maps.sum((2, 3)).square().sum(1).mean() * D.score.weight.square().mean()
    assert (found / expected).item() == pytest.approx(1, rel=0.1)


def test_he_initialization_keeps_the_scale_of_activations_with_depth(monkeypatch):
    """Before the scales of D's kernels are equalised."""
    monkeypatch.setattr(discriminator, "equalize_kernel_scales", lambda *_: None)
    torch.manual_seed(0)
    D = Discriminator(128, width=16, batch_norm_D=False)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in D.modules())
    sizes = [maps.square().mean().sqrt().item() for maps in D.features(torch.randn(8, 3, 128, 128))]
    for before, after in itertools.pairwise(sizes):
        assert 0.6 < after / before < 1.6, sizes


def test_equalized_kernel_scales_leave_D_the_same_function(monkeypatch):
    """The ratios of the scales are the square roots of those by He et al. 2015 and, for the last
    layer, 0.02.
    """

    def make_D():
        torch.manual_seed(0)
        return Discriminator(128, width=16, batch_norm_D=False, bias_D=True, num_labels=5)

    equalized = make_D()
    monkeypatch.setattr(discriminator, "equalize_kernel_scales", lambda *_: None)
    plain = make_D()
    kernels = [*(block[0].weight for block in equalized.blocks), equalized.score.weight]
    scales = [(2 / (1 + 0.2**2) / kernel[0].numel()) ** 0.5 for kernel in kernels[:-1]] + [0.02]
    layers = zip(kernels, scales, strict=True)
    for (kernel, scale), (next_kernel, next_scale) in itertools.pairwise(layers):
        ratio = (kernel.std() / next_kernel.std()).item()
        assert ratio == pytest.approx((scale / next_scale) ** 0.5, rel=0.05)
    x, labels = torch.randn(8, 3, 128, 128), torch.eye(8, 5)
    for wanted in (labels, 0 * labels):
        torch.testing.assert_close(equalized(x, wanted), plain(x, wanted), rtol=1e-4, atol=1e-6)


def test_default_networks_are_those_that_the_default_configuration_trains():
    torch.manual_seed(0)
    trained = build_networks(TrainConfig())
    torch.manual_seed(0)
    for ours, theirs in zip((Generator(), Discriminator()), trained, strict=True):
        assert str(ours) == str(theirs)
        state, expected = ours.state_dict(), theirs.state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], expected[name]) for name in state)
    assert Generator().latent == trained[0].latent == TrainConfig.latent
