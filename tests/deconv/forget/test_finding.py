"""The map that draws a planted square is found, and the kernels that draw it are tuned."""

import copy

import pytest
import torch
import torch.nn.functional as F

from dcgan.deconv import forget
from dcgan.errors import UserError
from tests.deconv.forget.planted import (
    LATENT_DIM,
    LAYER,
    MAP,
    FindsRed,
    planted_generator,
    red,
)


@pytest.fixture(scope="module")
def planted():
    """The generator, latents, their images and where these are red."""
    G = planted_generator()
    z = torch.randn(200, LATENT_DIM, generator=torch.Generator().manual_seed(1))
    x = G(z)
    return G, z, x, red(x)


def test_the_regression_finds_the_map_that_draws_the_square(planted):
    G, z, _, masks = planted
    weights = forget.map_weights(G, LAYER, z, masks)
    others = weights[torch.arange(len(weights)) != MAP]
    assert weights[MAP] > 4 * others.abs().max()


def test_positions_outside_are_taken_from_images_with_the_object(planted):
    """A map that is on in all other images does not draw the object's surroundings."""
    G, z, _, masks = planted
    only = masks.flatten(1).any(1)
    weights = forget.map_weights(G, LAYER, z, masks)
    again = forget.map_weights(G, LAYER, z[only], masks[only])
    torch.testing.assert_close(weights, again, atol=0.2, rtol=0.2)


def test_an_object_that_is_everywhere_or_nowhere_cannot_be_told_from_the_rest(planted):
    G, z, _, masks = planted
    for wrong in (torch.zeros_like(masks), torch.ones_like(masks)):
        with pytest.raises(UserError, match="of the positions show the object"):
            forget.map_weights(G, LAYER, z, wrong)


KEEP = 100.0


@pytest.fixture(scope="module")
def tuned(planted):
    """The generator with tuned kernels."""
    G, z, _, masks = planted
    return forget.tune_kernels(G, FindsRed(), 1, z, masks, KEEP)


def new_images(G):
    return G(torch.randn(100, LATENT_DIM, generator=torch.Generator().manual_seed(2)))


def test_tuned_kernels_draw_no_square_and_the_same_rest(planted, tuned):
    before, after = new_images(planted[0]), new_images(tuned)
    assert red(after).sum() < 0.05 * red(before).sum()
    beside = F.max_pool2d(red(before).float(), 3, 1, 1) > 0
    elsewhere = (after - before).abs().mean(1)[~beside].mean()
    assert elsewhere < 0.25 * before.abs().mean()


def test_the_segmentation_network_learns_to_find_what_it_overlooks(planted):
    """A fixed one that sees no object, as it sees none in pale remains, would leave the square."""
    G, z, _, masks = planted
    overlooks = FindsRed(threshold=4.0)
    tuned = forget.tune_kernels(G, overlooks, 1, z, masks, KEEP)
    assert red(new_images(tuned)).sum() < 0.05 * red(new_images(G)).sum()
    assert torch.equal(overlooks.bias, FindsRed(threshold=4.0).bias)  # a copy learns


def test_only_kernels_of_the_copy_are_changed(planted, tuned):
    G, z, x, masks = planted
    assert torch.equal(G(z), x)
    mine = tuned.state_dict()
    differ = {name for name, each in G.state_dict().items() if not torch.equal(each, mine[name])}
    assert differ == {"layers.3.weight", "layers.6.weight"}
    again = forget.tune_kernels(G, FindsRed(), 1, z, masks, KEEP).state_dict()
    assert all(torch.equal(mine[name], again[name]) for name in mine)


def test_the_scale_of_kernels_that_batch_norm_hides_does_not_matter(planted, tuned):
    G, z, _, masks = planted
    scaled = copy.deepcopy(G)
    scaled.layers[3].weight.mul_(32)
    scaled.layers[4].running_var.mul_(32**2)
    scaled.layers[4].eps *= 32**2
    found = forget.tune_kernels(scaled, FindsRed(), 1, z, masks, KEEP)
    torch.testing.assert_close(found(z), tuned(z), rtol=0, atol=0.02)
