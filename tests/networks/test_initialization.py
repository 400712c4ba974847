"""Initial weights, and the networks that a configuration and the constructors' defaults build."""

import itertools

import pytest
import torch
from torch import nn

from dcgan.config import TrainConfig
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
