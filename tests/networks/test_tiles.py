"""Tiles of the image of a grid of latents: where they stand, and that extents change no bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dcgan.networks import Generator, fold_batch_norm, tiles
from dcgan.networks.layers import LatentProjection, StridedConvTranspose2d


def make_generator(size: int, width: int, channels: int = 3, kernel_size: int = 4) -> Generator:
    """A generator whose images have contrast."""
    torch.manual_seed(0)
    G = Generator(size, channels, width, 6, kernel_size=kernel_size)
    with torch.no_grad():
        for norm in G.layers:
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = None  # means over all batches
        for _ in range(3):
            G(torch.randn(16, 6))
        G.layers[-2].weight.mul_(0.5 / G.eval()(torch.randn(16, 6)).atanh().std())
    return G.to(memory_format=torch.channels_last).eval()


@given(
    kernel=st.integers(1, 5),
    projection=st.booleans(),
    start=st.integers(0, 12),
    length=st.integers(1, 6),
)
@settings(max_examples=60, deadline=None)
def test_the_inputs_of_a_span_are_those_with_a_gradient(kernel, projection, start, length):
    """All of them, and no more: gradients of a kernel of ones say which outputs read an input."""
    if projection:
        layer, side = LatentProjection(1, 1, kernel, bias=False), 16
    elif kernel in (4, 5):
        layer, side = StridedConvTranspose2d(1, 1, kernel), 16
    else:
        return
    torch.nn.init.ones_(layer.weight)
    x = torch.zeros(1, 1, side, side, requires_grad=True)
    layer(x)[0, 0, start : start + length, start : start + length].sum().backward()
    read = x.grad[0, 0].sum(1).nonzero()[:, 0].tolist()
    first, last = tiles.input_span(layer, (start, start + length))
    assert read == list(range(max(first, 0), min(last, side)))


@pytest.mark.parametrize("size", [8, 32, 64])
@pytest.mark.parametrize("kernel_size", [4, 5])
def test_tiles_make_the_image_of_one_pass_through_the_layers(size, kernel_size, monkeypatch):
    """In float64, up to rounding: a tile that is shifted, or zero where it should be, is not."""
    monkeypatch.setattr(tiles, "TILE_SIDE", 2 * max(size // 4, 4))
    G = make_generator(size, 3, kernel_size=kernel_size).double()
    z = torch.randn(2, 6, 4, 7, dtype=torch.float64)
    with torch.no_grad():
        assert tiles.image_sides(G.layers, z) == (size // 4 * 7, size // 4 * 10)
        torch.testing.assert_close(G(z), G.layers(z), rtol=0, atol=1e-12)
        assert G.layers(z).std() > 0.05


# Every way of `choose_way` on a CPU: "winograd" takes 256 channels.
NETWORKS = [(32, 24, 3, 4), (64, 32, 3, 4), (64, 24, 1, 5), (128, 4, 1, 4)]


@pytest.mark.parametrize(("size", "width", "channels", "kernel_size"), NETWORKS)
def test_a_tile_has_the_same_bits_however_large_the_grid_is(size, width, channels, kernel_size):
    G = make_generator(size, width, channels, kernel_size)
    cells = 300 // (size // 4)
    z = torch.randn(1, 6, cells, 2 * cells)
    with torch.inference_mode():
        whole = G(z)
        assert torch.equal(tiles.forward_tile(G.layers, z, 256, 256), whole[..., 256:, 256:512])
        # What lies beyond the last input of the first tile changes none of its bits.
        part = G(z[..., :cells])
        assert torch.equal(part[..., :256, :256], whole[..., :256, :256])
        several = G(torch.cat([torch.zeros_like(z), z]))
        assert torch.equal(several[1:], whole)
    assert torch.equal(G(z), whole), "with gradients"


def test_one_pass_over_all_of_a_grid_has_other_last_bits_only():
    G = make_generator(64, 32)
    z = torch.randn(1, 6, 8, 20)
    with torch.inference_mode():
        torch.testing.assert_close(G(z), G.layers(z), rtol=0, atol=1e-5)
        torch.testing.assert_close(fold_batch_norm(G)(z), G(z), rtol=0, atol=1e-4)


def test_bf16_tiles_are_parts_of_the_whole():
    G = fold_batch_norm(make_generator(32, 8)).bfloat16()
    z = torch.randn(1, 6, 34, 66).bfloat16()
    with torch.inference_mode():
        assert torch.equal(tiles.forward_tile(G.layers, z, 0, 256), G(z)[..., :256, 256:512])


def test_training_normalizes_over_the_whole_grid():
    G = make_generator(16, 2).train()
    z = torch.randn(2, 6, 3, 70)
    seen = []
    G.layers[1].register_forward_hook(lambda _, x, __: seen.append(x[0].shape[3]))
    G(z)
    assert seen == [73]
