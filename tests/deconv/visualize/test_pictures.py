"""Occlusion, filters, feature maps, and how they are drawn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dcgan import images, runs, sampling
from dcgan.deconv.visualize import (
    feature_maps,
    figure,
    first_filters,
    occlusion_map,
    open_generator_layer,
    open_layer,
)
from dcgan.errors import UsageError, UserError


def test_occlusion_of_a_linear_unit_has_a_closed_form():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 7, 2)).double()
    layer = open_layer(network, "output", (3, 9, 7))
    image = torch.rand(3, 9, 7, dtype=torch.float64)
    found = occlusion_map(layer, image, [1], side=3, step=2, fill=0.25)
    assert found.tops == (0, 2, 4, 6) and found.lefts == (0, 2, 4)
    weight = network[1].weight[1].view(3, 9, 7)
    for row, top in enumerate(found.tops):
        for column, left in enumerate(found.lefts):
            part = slice(None), slice(top, top + 3), slice(left, left + 3)
            change = (weight[part] * (0.25 - image[part])).sum()
            torch.testing.assert_close(found.covered[0, row, column], found.whole[0] + change)


def test_occlusion_shows_where_a_unit_looks():
    network = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU())
    image = torch.full((1, 24, 24), -1.0)
    image[:, 4:9, 12:17] = 1
    nn.init.ones_(network[0].weight), nn.init.zeros_(network[0].bias)
    found = occlusion_map(open_layer(network, "output", (1, 24, 24)), image, [0])
    row, column = divmod(int(found.covered[0].argmin()), len(found.lefts))
    assert found.side == 3
    assert 4 <= found.tops[row] <= 6 and 12 <= found.lefts[column] <= 14
    assert found.covered[0].min() < 0.8 * found.whole[0]
    with pytest.raises(UsageError, match="--square 25: the image has 24x24"):
        occlusion_map(open_layer(network, "output", (1, 24, 24)), image, [0], 25)


class Functional(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.kernels = nn.Parameter(torch.rand(4, channels, 5, 3))

    def forward(self, x):
        return F.conv2d((x - 0.5) / 0.2, self.kernels)


def test_filters_are_those_of_the_convolution_that_comes_first():
    network = Functional(3)
    assert torch.equal(first_filters(network, (3, 9, 9)), network.kernels)
    D = runs.load_discriminator("faces")
    assert torch.equal(first_filters(D, (3, 64, 64)), D.blocks[0][0].weight)
    with pytest.raises(UserError, match="reads 4 channels, which is no picture"):
        first_filters(Functional(4), (4, 9, 9))
    with pytest.raises(UserError, match="has no convolution"):
        first_filters(nn.Flatten(), (3, 9, 9))
    with pytest.raises(UserError, match="cannot take inputs of the shape 3x9x9: ValueError"):
        first_filters(nn.Flatten(), (3, 9, 9), lambda x: int("x"))


def test_feature_maps_of_a_seed_do_not_depend_on_the_others():
    G = sampling.load("faces")
    layer = open_generator_layer(G, 2)
    drawn, maps = feature_maps(layer, [5, 3])
    one, its_maps = feature_maps(layer, [3])
    assert torch.equal(maps[1:], its_maps) and (drawn[1:] == one).all()
    z = sampling.latents_from_seeds(G, [3])[..., None, None]
    x = z
    with torch.inference_mode():
        for name, module in G.layers.named_children():
            x = module(x.clone())
            if f"layers.{name}" == layer.title:
                torch.testing.assert_close(its_maps, x)
        expected = images.to_uint8(x).numpy()
    assert np.abs(one.astype(int) - expected).max() <= 1


def test_zero_is_grey_and_signs_keep_their_places():
    signed = torch.zeros(3, 10, 10)
    signed[0, 2, 3], signed[2, 7, 7] = 4, -4
    drawn = figure.to_picture(signed, contrast=1)
    assert drawn[0, 0].tolist() == [128] * 3
    assert drawn[2, 3].tolist() == [255, 128, 128] and drawn[7, 7].tolist() == [128, 128, 0]
    assert (figure.to_picture(torch.zeros(1, 4, 4)) == 128).all()
    assert figure.to_picture(torch.ones(5, 4, 4)).tolist() == [[[255]] * 4] * 4


def test_maps_are_black_at_zero_and_share_their_scale():
    maps = torch.zeros(2, 2, 3, 3)
    maps[0, 0, 0, 0], maps[1, 0, 1, 1], maps[:, 1] = 2.0, 4.0, -1.0
    grey = figure.grey_maps(maps)
    assert grey[0][0][0, 0, 0] == 128 and grey[1][0][1, 1, 0] == 255 and grey[0][0][2, 2, 0] == 0
    assert (grey[0][1] == 0).all()


def test_sheets_hold_pictures_of_different_sizes_below_their_titles():
    red, blue = np.zeros((30, 50, 3), np.uint8), np.zeros((70, 20, 3), np.uint8)
    red[..., 0], blue[..., 2] = 200, 200
    sheet = figure.sheet("caption", [("a", red), ("b", blue), ("", red)], columns=2)
    assert sum((sheet == colour).all(-1).sum() for colour in ([200, 0, 0],)) == 2 * 30 * 50
    assert (sheet == [0, 0, 200]).all(-1).sum() == 70 * 20
    assert (sheet[[0, -1]] == 255).all() and (sheet[:, [0, -1]] == 255).all()


@pytest.mark.parametrize("shape", [(4, 4), (46, 20), (64, 64), (300, 100)])
def test_small_pictures_are_enlarged_by_whole_numbers(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 1), dtype=np.uint8)
    drawn = figure.resized(image)
    assert 50 <= max(drawn.shape[:2]) <= 128
    if max(shape) < 80:
        factor = drawn.shape[0] // shape[0]
        assert (drawn == image.repeat(factor, 0).repeat(factor, 1)).all()
