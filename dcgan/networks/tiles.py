"""Images of grids of latents, computed in tiles that do not depend on the extent of the image.

The convolutions of PyTorch, oneDNN and cuDNN sum in an order that follows from the shapes of their
inputs: the same window of a larger input gives other last bits. Here every tile begins at a
multiple of its side, and every pass through a layer has the same shape. A pixel stands at the same
place of the same tile however large the grid is, so that a tile computed alone is bit for bit a
part of the whole.

A tile reads more of each layer's input than it covers itself. `input_span` says how much, from the
last layer to the first. Inputs beyond the maps of the whole are zeros, as the padding of each layer
has them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan.networks.channels_last import to_nchw, to_nhwc
from dcgan.networks.layers import LatentProjection, StridedConvTranspose2d
from dcgan.sizes import output_sizes

TILE_SIDE = 256  # pixels. Smaller ones read more around them; larger ones waste more at the borders

Span = tuple[int, int]  # the first position along an axis, and the one after the last
Convolution = LatentProjection | StridedConvTranspose2d


def forward_in_tiles(layers: nn.Sequential, z: Tensor) -> Tensor:
    """Latents [N, C, h, w] -> images [N, channels, H, W], each in tiles of its own."""
    return torch.cat([_join_tiles(layers, one) for one in z.split(1)])


def _join_tiles(layers: nn.Sequential, z: Tensor) -> Tensor:
    height, width = image_sides(layers, z)
    bands = [
        torch.cat([forward_tile(layers, z, top, left) for left in tile_starts(0, width)], 3)
        for top in tile_starts(0, height)
    ]
    return torch.cat(bands, 2)


def tile_starts(start: int, stop: int) -> range:
    """Where the tiles begin that cover the pixels `start` to `stop` along a side of an image."""
    return range(start - start % TILE_SIDE, stop, TILE_SIDE)


def image_sides(layers: nn.Sequential, z: Tensor) -> tuple[int, int]:
    """Height and width of the images of latents [N, C, h, w]."""
    height, width = (_map_sides(_convolutions(layers), cells)[-1] for cells in z.shape[2:])
    return height, width


def forward_tile(layers: nn.Sequential, z: Tensor, top: int, left: int) -> Tensor:
    """The tile of the image of z [1, C, h, w] whose first pixel is (top, left), both multiples of
    TILE_SIDE: [1, channels, TILE_SIDE, TILE_SIDE], or less where the image ends.
    """
    convolutions = _convolutions(layers)
    rows, columns = _spans(convolutions, top), _spans(convolutions, left)
    heights, widths = (_map_sides(convolutions, cells) for cells in z.shape[2:])
    x, y0, x0, step = z, 0, 0, 0  # x begins at the position (y0, x0) of the whole
    for layer in layers:
        if isinstance(layer, Convolution):
            x = _cut(x, 2, y0, rows[step], heights[step])
            x = _cut(x, 3, x0, columns[step], widths[step])
            # A copy even where x is contiguous: kernels may depend on the alignment of tensors.
            x = to_nchw(to_nhwc(x).clone(memory_format=torch.contiguous_format))
            stride = layer.axis.stride
            y0, x0 = stride * rows[step][0], stride * columns[step][0]
            step += 1
        x = layer(x)
    bottom, right = min(top + TILE_SIDE, heights[-1]), min(left + TILE_SIDE, widths[-1])
    return x[:, :, top - y0 : bottom - y0, left - x0 : right - x0]


def input_span(layer: Convolution, outputs: Span) -> Span:
    """The inputs of a transposed convolution that are added to any of these outputs."""
    start, stop = outputs
    return layer.axis.inputs_of(start)[0], layer.axis.inputs_of(stop - 1)[-1] + 1


def _spans(convolutions: list[Convolution], start: int) -> list[Span]:
    """What each layer reads for the tile from pixel `start`, and what the tile covers."""
    spans = [(start, start + TILE_SIDE)]
    for layer in reversed(convolutions):
        spans.insert(0, input_span(layer, spans[0]))
    return spans


def _map_sides(convolutions: list[Convolution], cells: int) -> list[int]:
    """Sides of the latents, of the maps that each layer makes of them, and so of the image."""
    return [cells, *output_sizes([layer.axis for layer in convolutions], cells)]


def _cut(x: Tensor, dim: int, origin: int, wanted: Span, side: int) -> Tensor:
    """The span `wanted` of maps x that begin at `origin`, with zeros beyond the `side` of the
    whole.
    """
    start, stop = max(wanted[0], 0), min(wanted[1], side)
    x = x.narrow(dim, start - origin, stop - start)
    padding = (start - wanted[0], wanted[1] - stop)
    return F.pad(x, padding if dim == 3 else (0, 0, *padding)) if any(padding) else x


def _convolutions(layers: nn.Sequential) -> list[Convolution]:
    return [layer for layer in layers if isinstance(layer, Convolution)]
