"""Receptive fields: what `dcgan.sizes` says, and what pixels really reach."""

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dcgan import runs
from dcgan.deconv.visualize import Fields, Window, crop, open_layer
from dcgan.deconv.visualize.reach import Reach
from dcgan.errors import UsageError
from dcgan.networks import Discriminator
from tests.deconv.visualize import paper


@settings(deadline=None, max_examples=40)
@given(network=paper.networks(), place=st.tuples(st.integers(0, 20), st.integers(0, 20)))
def test_the_field_of_a_chain_is_what_reaches_the_unit(network, place):
    layer = open_layer(network, "output", (2, 17, 14))
    fields = Fields(layer)
    assert fields.chain is not None
    row, column = (at % side for at, side in zip(place, layer.shape[1:], strict=True))
    window = fields.window(row, column)
    try:
        reach = Reach(layer).bounds(row, column)
    except UsageError:  # all taps lie in the padding
        return
    for (start, stop), side, begin, length in zip(
        reach, (17, 14), window[:2], window[2:], strict=True
    ):
        if length < side:
            span = max(begin, 0), min(begin + length, side)
            # With gaps (dilation, strides) taps at the border may fall in them.
            assert span[0] <= start and stop <= span[1]
            inside = begin >= 0 and begin + length <= side
            assert not inside or (start, stop) == span


def test_fields_of_a_large_discriminator():
    """Which has convolutions that are computed by Winograd's algorithm on CPUs."""
    layer = open_layer(Discriminator(256, width=64), 3, (3, 256, 256))
    fields = Fields(layer)
    assert layer.shape == (256, 32, 32) and fields.chain is not None
    assert fields.window(2, 31) == Window(9, 241, 22, 22)
    assert Reach(layer).bounds(2, 31) == [(9, 31), (241, 256)]


def test_fields_of_the_discriminator():
    D = runs.load_discriminator("faces")
    fields = Fields(open_layer(D, 4, (3, 64, 64)))
    assert fields.size == (46, 46)
    assert fields.window(0, 3) == Window(-15, 33, 46, 46)
    assert Fields(open_layer(D, "output", (3, 64, 64))).window(0, 0) == Window(0, 0, 64, 64)


@pytest.mark.parametrize(("name", "size"), [("layer1.0.relu@2", 27), ("layer1.1", 43)])
def test_the_field_of_a_network_with_shortcuts_is_what_changes_the_unit(name, size):
    network = torchvision.models.resnet18()
    layer = open_layer(network, name, (3, 64, 64))
    fields = Fields(layer)
    assert fields.chain is None and fields.size == (size, size)
    x = torch.rand(1, 3, 64, 64)
    window = fields.window(8, 7)
    pixels = torch.zeros(64, 64, dtype=torch.bool)
    pixels[window.top : window.top + size, window.left : window.left + size] = True
    outside, inside = x.clone(), x.clone()
    outside[..., ~pixels] = torch.rand(int((~pixels).sum())) * 9
    inside[..., pixels] = torch.rand(size * size) * 9
    maps = layer.maps(torch.cat([x, outside, inside]))[:, :, 8, 7]
    torch.testing.assert_close(maps[0], maps[1])
    assert (maps[0] - maps[2]).abs().max() > 0.1


def test_fields_at_borders_have_one_size():
    network = torchvision.models.resnet18()
    fields = Fields(open_layer(network, "layer1.0", (3, 64, 64)))
    windows = {place: fields.window(*place) for place in ((0, 0), (0, 15), (7, 7), (15, 1))}
    assert {window[2:] for window in windows.values()} == {(27, 27)}
    assert windows[0, 0] == Window(-13, -13, 27, 27)
    steps = np.subtract(windows[7, 7][:2], windows[0, 0][:2])
    assert steps.tolist() == [28, 28], "four pixels from one unit to the next"


def test_reach_knows_maxima_and_closed_rectifiers():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True))
    nn.init.constant_(network[0].bias, -1e9)
    assert Reach(open_layer(network, "output", (1, 20, 20))).bounds(1, 8) == [(2, 7), (16, 20)]


class WithoutGradients(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        with torch.no_grad():
            return self.convolution(x)


def test_a_network_that_computes_without_gradients_takes_one_line():
    layer = open_layer(WithoutGradients(), 1, (3, 8, 8))
    with pytest.raises(UsageError, match="convolution does not depend on the image by a derivat"):
        Fields(layer)


def test_crops_pass_the_borders_with_grey():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    assert (crop(image, Window(1, 1, 2, 3), 128) == image[1:, 1:]).all()
    patch = crop(image, Window(-1, 2, 3, 4), 128)[..., 0]
    assert (crop(image, Window(-9, 0, 3, 3), 128) == 128).all()
    assert patch.tolist() == [[128] * 4, [2, 3, 128, 128], [6, 7, 128, 128]]
