"""The map and the direction that draw a planted square are found."""

import pytest
import torch

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
    weights, deviations = forget.map_weights(G, LAYER, z, masks)
    others = weights[torch.arange(len(weights)) != MAP]
    assert weights[MAP] > 4 * others.abs().max()
    maps = G.layers[:6](z[:, :, None, None])
    assert (deviations > 0).all() and deviations[MAP] <= maps[:, MAP].max()


def test_positions_outside_are_taken_from_images_with_the_object(planted):
    """A map that is on in all other images does not draw the object's surroundings."""
    G, z, _, masks = planted
    only = masks.flatten(1).any(1)
    weights = forget.map_weights(G, LAYER, z, masks)
    again = forget.map_weights(G, LAYER, z[only], masks[only])
    torch.testing.assert_close(weights[0], again[0], atol=0.2, rtol=0.2)


def test_an_object_that_is_everywhere_or_nowhere_cannot_be_told_from_the_rest(planted):
    G, z, _, masks = planted
    for wrong in (torch.zeros_like(masks), torch.ones_like(masks)):
        with pytest.raises(UserError, match="of the positions show the object"):
            forget.map_weights(G, LAYER, z, wrong)


def test_the_direction_takes_the_square_away_and_leaves_the_rest(planted):
    G, z, _, masks = planted
    start = forget.map_weights(G, LAYER, z, masks)
    found = forget.find_direction(G, FindsRed(), 1, LAYER, z, masks, start, 30.0)
    new = torch.randn(100, LATENT_DIM, generator=torch.Generator().manual_seed(2))
    before, after = G(new), forget.erase_direction(G, LAYER, *found)(new)
    assert red(after).sum() < 0.1 * red(before).sum()
    elsewhere = (after - before).abs().mean(1)[~red(before)].mean()
    blank = forget.drop_maps(G, LAYER, range(4))(new)
    assert elsewhere < 0.1 * (blank - before).abs().mean()
