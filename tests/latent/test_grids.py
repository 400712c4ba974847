"""Grids of latents: what each place depends on, interpolation, and what the first layer adds up."""

import pytest
import torch

from dcgan.latent import noise_from_seeds, slerp
from dcgan.latent.grids import cell_seed, interpolate_grid, seeds_by_place, seeds_in_turn, spread
from dcgan.networks.layers import LatentProjection


def test_seeds_of_a_larger_grid_begin_with_the_same_ones():
    small, large = seeds_by_place(3, 2, 4), seeds_by_place(3, 5, 9)
    assert small == [large[row * 9 + column] for row in range(2) for column in range(4)]
    assert small[5] == cell_seed(3, 1, 1)
    everywhere = large + seeds_by_place(4, 5, 9)
    assert len(set(everywhere)) == 90 and 0 <= min(everywhere) <= max(everywhere) < 2**63


def test_seeds_in_turn_differ_from_their_neighbours():
    assert seeds_in_turn([7, 8, 9], 2, 4) == [7, 8, 9, 7, 8, 9, 7, 8]
    assert seeds_in_turn([5], 2, 2) == [5] * 4


def test_interpolation_visits_the_anchors_and_follows_great_circles_between():
    anchors = noise_from_seeds(range(6), 12, "normal").view(2, 3, 12)
    anchors = torch.cat([anchors, torch.tensor([0.0, 1, 1, 0, 0, 1]).view(2, 3, 1)], 2)
    grid = interpolate_grid(anchors, 4, 12)
    assert grid.shape == (5, 9, 13)
    assert torch.equal(grid[::4, ::4], anchors)
    top = slerp(anchors[0, 1, :12], anchors[0, 2, :12], 0.25)
    bottom = slerp(anchors[1, 1, :12], anchors[1, 2, :12], 0.25)
    torch.testing.assert_close(grid[0, 5, :12], top)
    torch.testing.assert_close(grid[2, 5, :12], slerp(top, bottom, 0.5), msg="rows first")
    torch.testing.assert_close(grid[0, 1, 12], torch.tensor(0.25), msg="labels are linear")
    lengths = grid[..., :12].norm(dim=-1)
    norms = anchors[..., :12].norm(dim=-1)
    assert norms.min() * 0.999 <= lengths.min() and lengths.max() <= norms.max() * 1.001
    assert torch.equal(interpolate_grid(anchors[:1, :1], 4, 12), anchors[:1, :1])


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_the_first_layer_sees_the_variance_of_one_latent_and_the_mean_of_labels(stride):
    """As for one latent per image, which gives each position one product z w."""
    torch.manual_seed(0)
    layer = LatentProjection(9, 64, 4, bias=False)
    latents = torch.cat([torch.randn(24, 24, 8), torch.ones(24, 24, 1)], 2)
    grid = spread(latents, stride, 4, 8)
    assert grid.shape == (1, 9, 23 * stride + 1, 23 * stride + 1)
    assert torch.count_nonzero(grid[0, 0]) == 24 * 24
    with torch.no_grad():
        only_z, only_labels = grid.clone(), grid.clone()
        only_z[:, 8:], only_labels[:, :8] = 0, 0
        inside = slice(4, -4)
        maps = layer(only_z)[0, :, inside, inside]
        expected = layer.weight[:8].square().sum(0).mean()  # Var(z w) for z from N(0, 1)
        torch.testing.assert_close(maps.square().mean(), expected, rtol=0.1, atol=0)
        labels = layer(only_labels)[0, :, inside, inside].mean((1, 2))
        torch.testing.assert_close(labels, layer.weight[8].mean((1, 2)), rtol=0.02, atol=1e-4)
