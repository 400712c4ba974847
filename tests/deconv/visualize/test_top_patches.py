"""The strongest images of every unit."""

import numpy as np
import pytest
import torch
from torch import nn

from dcgan import images as pixels
from dcgan.deconv.visualize import Fields, find_top_patches, open_layer
from dcgan.deconv.visualize import projection as projecting
from dcgan.errors import UsageError, UserError


def network(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 5, 3, 2), *layers)


def pictures(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)


def test_the_strongest_of_all_are_found_batch_by_batch(monkeypatch):
    layer, data = open_layer(network(), 1, (3, 12, 12)), pictures(150)
    data[[20, 100]] = data[77]  # equal responses: the first ones count
    maps = layer.maps(pixels.to_float(torch.from_numpy(data)))  # all at once
    strongest, places = maps.flatten(2).max(2)
    order = np.lexsort([np.arange(150)[:, None].repeat(5, 1), -strongest.numpy()], 0)[:9]
    for most in (64, 7):
        monkeypatch.setattr(projecting, "_MAX_BATCH", most)
        top = find_top_patches(layer, data, 9)
        assert (top.images.T.numpy() == order).all()
        assert all(len(set(row)) == 9 for row in top.images.tolist())
        torch.testing.assert_close(top.values.T, strongest.gather(0, torch.from_numpy(order)))
        found = top.positions[..., 0] * 5 + top.positions[..., 1]
        assert torch.equal(found.T, places.gather(0, torch.from_numpy(order)))
    torch.testing.assert_close(top.mean.float(), strongest.mean(0))
    torch.testing.assert_close(top.deviation.float(), strongest.std(0, correction=0))


def test_only_the_chosen_images_are_searched():
    layer, data = open_layer(network(), 1, (3, 12, 12)), pictures(40)
    chosen = [3, 8, 21, 22]
    top = find_top_patches(layer, data, 4, chosen)
    assert {*top.images.flatten().tolist()} == {*chosen}


def test_a_planted_pattern_is_found_where_it_is():
    """A detector of a bright cross; the crop of its field is the cross."""
    cross = np.zeros((5, 5), np.uint8)
    cross[2], cross[:, 2] = 255, 255
    data = pictures(60, seed=1) // 4
    places = {7: (0, 3), 31: (7, 7), 58: (2, 6)}
    for index, (top, left) in places.items():
        data[index, top : top + 5, left : left + 5] = cross[..., None]
    detector = nn.Sequential(nn.Conv2d(3, 1, 5, padding=2), nn.ReLU())
    kernel = torch.from_numpy(cross).float() / 127.5 - 1
    detector[0].weight.data[:] = kernel
    layer = open_layer(detector, "output", (3, 12, 12))
    found = find_top_patches(layer, data, 3)
    assert {*found.images[0].tolist()} == {*places}
    fields = Fields(layer)
    for index, position in zip(found.images[0].tolist(), found.positions[0].tolist(), strict=True):
        assert fields.window(*position) == (*places[index], 5, 5)


def test_units_that_stand_out_come_before_dead_and_constant_ones():
    layer = open_layer(network(nn.ReLU()), "output", (3, 12, 12))
    conv = layer.network[0]
    conv.weight.data[:] *= 10
    conv.bias.data[1] = -1e6  # dead
    conv.weight.data[2], conv.bias.data[2] = 0, 5  # constant
    top = find_top_patches(layer, pictures(64), 4)
    excess = (top.values.mean(1) - top.mean) / top.deviation
    assert top.standing_out(3) == [0, 3, 4]
    assert top.standing_out(1) == [max((0, 3, 4), key=lambda unit: excess[unit])]


def test_mistakes_take_one_line():
    layer = open_layer(network(), 1, (3, 12, 12))
    with pytest.raises(UsageError, match="--top 9: only 8 images are searched"):
        find_top_patches(layer, pictures(8), 9)
    with pytest.raises(UsageError, match="inputs of 3x12x12, not 3x10x12"):
        find_top_patches(layer, pictures(9)[:, :10], 9)
    layer.network[0].bias.data[0] = float("nan")
    with pytest.raises(UserError, match="layer 0 has responses that are not finite"):
        find_top_patches(layer, pictures(9), 9)
