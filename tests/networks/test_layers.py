"""The layers against PyTorch's operators and their definitions."""

import pytest
import torch
import torch.nn.functional as F

from dcgan.networks import StridedConv2d, StridedConvTranspose2d
from dcgan.networks.layers import LatentProjection, MinibatchStdLayer, feature_channels


def test_channels_double_up_to_eight_times_the_width():
    assert feature_channels(64, 128) == [1024, 512, 256, 128]
    assert feature_channels(256, 64) == [512, 512, 512, 256, 128, 64]
    assert feature_channels(32, 64) == [256, 128, 64]


@pytest.mark.parametrize("kernel_size", [4, 5])
def test_the_transposed_convolution_is_the_transpose_of_the_convolution(kernel_size):
    """<conv(x), y> = <x, transposed(y)> for the same kernel."""
    conv = StridedConv2d(3, 7, kernel_size).double()
    transposed = StridedConvTranspose2d(7, 3, kernel_size).double()
    with torch.no_grad():
        transposed.weight.copy_(conv.weight.normal_())
    x, y = torch.randn(2, 3, 16, 16).double(), torch.randn(2, 7, 8, 8).double()
    torch.testing.assert_close((conv(x) * y).sum(), (x * transposed(y)).sum())


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("grid", [(1, 1), (2, 3)])
def test_the_latent_projection_is_a_transposed_convolution(grid, order):
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


@pytest.mark.parametrize(("count", "members"), [(8, 4), (4, 4), (6, 6), (1, 1)])
def test_minibatch_std_is_the_mean_standard_deviation_within_groups(count, members):
    """Images that are count / 4 apart form a group; Karras et al. 2018, section 3, in NumPy."""
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


def test_minibatch_std_of_equal_images_has_finite_derivatives():
    x = torch.zeros(4, 2, 4, 4, requires_grad=True)
    MinibatchStdLayer()(x).square().sum().backward()
    assert x.grad.isfinite().all()
