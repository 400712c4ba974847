"""Generators without some maps, beside hooks that change the maps themselves."""

import pytest
import torch

from dcgan.deconv import forget
from dcgan.errors import UsageError
from tests.deconv.forget.planted import LATENT_DIM, LAYER, MAP, SQUARE, planted_generator, red
from tests.latent.generators import ATTRIBUTES, make_generator


def hooked(G, layer, change, z):
    """G's images where `change` is applied to the maps of a layer as they are computed."""
    rectifier = G.layers[3 * layer - 1]
    handle = rectifier.register_forward_hook(lambda module, args, maps: change(maps))
    try:
        return G(z)
    finally:
        handle.remove()


@pytest.mark.parametrize("labels", [None, ATTRIBUTES])
@pytest.mark.parametrize("layer", [1, 2])
def test_dropped_maps_are_zero_in_every_image(layer, labels):
    G = make_generator(labels)
    z = torch.randn(5, G.layers[0].in_channels, generator=torch.Generator().manual_seed(0))
    maps = [0, 3, 5]

    def zero(x):
        x[:, maps] = 0
        return x

    wanted = hooked(G, layer, zero, z)
    torch.testing.assert_close(forget.drop_maps(G, layer, maps)(z), wanted)
    assert (wanted - G(z)).abs().max() > 0.01
    grid = z[:1, :, None, None].expand(-1, -1, 2, 3)
    torch.testing.assert_close(forget.drop_maps(G, layer, maps)(grid), hooked(G, layer, zero, grid))


def test_a_change_at_random_maps_has_the_same_size():
    """Each map gets the change of another: the same rows, in another order."""
    G, changed = make_generator(), make_generator()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for i in (3, 6):
            kernel = changed.layers[i].weight
            kernel += torch.randn(kernel.shape, generator=rng)
    shuffled = forget.shuffle_change(G, changed, 0)
    for i in (3, 6):
        own, wanted, found = (each.layers[i].weight for each in (G, changed, shuffled))
        assert not torch.allclose(found, wanted)
        rows = [(each - own).flatten(1).norm(dim=1).sort().values for each in (wanted, found)]
        torch.testing.assert_close(*rows)
    assert torch.equal(shuffled.layers[0].weight, G.layers[0].weight)


def test_the_map_that_draws_a_square_takes_the_square_with_it_and_nothing_else():
    G = planted_generator()
    z = torch.randn(40, LATENT_DIM, generator=torch.Generator().manual_seed(0))
    state = {name: tensor.clone() for name, tensor in G.state_dict().items()}
    before, after = G(z), forget.drop_maps(G, LAYER, [MAP])(z)
    assert red(before[z[:, 0] > 0.5][:, :, *SQUARE]).all()
    assert not red(after).any()
    rest = torch.ones(16, 16, dtype=torch.bool)
    rest[SQUARE] = False
    assert torch.equal(before[:, :, rest], after[:, :, rest])
    assert torch.equal(before[:, 1:], after[:, 1:])
    assert torch.equal(before[z[:, 0] <= 0], after[z[:, 0] <= 0])
    assert all(torch.equal(state[name], tensor) for name, tensor in G.state_dict().items())


def test_the_default_is_the_second_highest_layer_with_maps():
    """Of the paper's G for 64 pixels, 256 maps of 16x16: only there can 200 be dropped."""
    sizes = {16: 1, 32: 2, 64: 3}
    for size, layer in sizes.items():
        assert forget.default_layer(make_generator(size=size)) == layer


def test_what_is_not_there_is_named():
    G = make_generator()
    with pytest.raises(UsageError, match=r"--layer must be from 1 to 2, .* not 3"):
        forget.drop_maps(G, 3, [0])
    with pytest.raises(UsageError, match="layer 2 has the maps 0 to 7"):
        forget.drop_maps(G, 2, [8])
    with pytest.raises(UsageError, match="needs a Generator"):
        forget.drop_maps("faces", 1, [0])
