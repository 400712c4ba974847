"""Canvases: one image of any width and height from a grid of latents, in bounded memory.

A canvas is bit for bit a window of the image that G makes of the whole grid in one call,

    images.to_uint8(G(latent_grid(G, config)))[0, margin : margin + height, margin : margin + width]

since both consist of the same tiles, see `networks.tiles`. With bf16, G stands for
`fold_batch_norm(G).to(torch.bfloat16)`. On a GPU, call G in `full_float32_precision`, which a
canvas is drawn in.
"""

import copy

import numpy as np
import torch
from torch import Tensor

from dcgan import images
from dcgan.config import CanvasConfig
from dcgan.config.validation import require_options
from dcgan.errors import UsageError
from dcgan.latent import interpolation_for
from dcgan.latent.grids import interpolate_grid, seeds_by_place, seeds_in_turn, spread
from dcgan.networks import Generator, fold_batch_norm
from dcgan.networks.layers import BASE_SIZE
from dcgan.networks.tiles import forward_tile, image_sides, tile_starts
from dcgan.runtime.device import full_float32_precision, use_bf16
from dcgan.runtime.progress import progress_bar
from dcgan.sampling import check_generator, latents_from_seeds

_MAX_GRID_NUMBERS = 2**27  # 0.5 GB of float32


def draw_canvas(G: Generator, config: CanvasConfig) -> np.ndarray:
    """The canvas that the options describe, uint8 [height, width, C].

    Raises UsageError for a grid of latents that is too large, and for labels that G was not
    trained with.
    """
    check_generator(G)
    require_options(config, CanvasConfig, "draw_canvas")
    start = margin(G, config)
    return draw_window(
        G, latent_grid(G, config), start, start, config.height, config.width, config.precision
    )


def latent_grid(G: Generator, config: CanvasConfig) -> Tensor:
    """The inputs of G for a canvas: [1, latent_dim (+ num_labels), h, w], float32 on the CPU.

    Latents lie in every `stride`-th cell, see `spread`. Those of a larger canvas begin with the
    same ones. Raises UsageError as `draw_canvas` does.
    """
    check_generator(G)
    require_options(config, CanvasConfig, "latent_grid")
    rows, columns = (_latents_along(G, config, side) for side in (config.height, config.width))
    cells = config.stride**2 * rows * columns
    numbers = G.latent_dim + (len(G.labels.names) if G.labels else 0)
    if cells * numbers > _MAX_GRID_NUMBERS:
        raise UsageError(
            f"a canvas of {config.width} x {config.height} pixels takes {cells:,} latents of "
            f"{numbers:,} numbers with this generator, more than fit in memory: make it smaller"
        )
    return spread(_latents(G, config, rows, columns), config.stride, BASE_SIZE, G.latent_dim)


def margin(G: Generator, config: CanvasConfig) -> int:
    """Pixels of the image of the grid above the canvas, and to the left of it.

    Where latents overlap, fewer do so at the borders of the grid. With the stride of an image
    nothing overlaps, and the canvas begins with the border of its first image.
    """
    return (BASE_SIZE - config.stride) * _cell_pixels(G)


def draw_window(
    G: Generator,
    grid: Tensor,
    top: int,
    left: int,
    height: int,
    width: int,
    precision: str = CanvasConfig.precision,
) -> np.ndarray:
    """A window of the image of a grid of latents [1, C, h, w], uint8 [height, width, channels].

    It takes the memory of one tile beside that of the result. G is used in evaluation mode. Raises
    UsageError for a window that is not all in the image.
    """
    check_generator(G)
    first = next(G.parameters())  # the kernel that latents go through
    if grid.dim() != 4 or len(grid) != 1 or grid.shape[1] != len(first):
        raise UsageError(
            f"a grid of latents must have the shape [1, {len(first)}, h, w], not {list(grid.shape)}"
        )
    bf16 = use_bf16(first.device, precision)
    network = fold_batch_norm(G).to(torch.bfloat16) if bf16 else copy.deepcopy(G).eval()
    z = grid.to(next(network.parameters()))
    bottom, right = top + height, left + width
    image_height, image_width = image_sides(network.layers, z)
    if not (0 <= top < bottom <= image_height and 0 <= left < right <= image_width):
        raise UsageError(
            f"rows {top} to {bottom} and columns {left} to {right} are no window of an image of "
            f"{image_height} rows and {image_width} columns"
        )
    with torch.inference_mode(), full_float32_precision():
        if z.shape[2:].numel() == 1:  # which G does not compute in tiles
            return _to_numpy(network(z)[:, :, top:bottom, left:right])
        starts = [(y, x) for y in tile_starts(top, bottom) for x in tile_starts(left, right)]
        canvas = np.empty((height, width, G.channels), np.uint8)
        with progress_bar(len(starts), "drawing", "tile", delay=2) as bar:
            for y, x in starts:
                tile = _to_numpy(forward_tile(network.layers, z, y, x))
                _paste(canvas, tile, y - top, x - left)
                bar.update(1)
    return canvas


def _to_numpy(image: Tensor) -> np.ndarray:
    return images.to_uint8(image)[0].cpu().numpy()


def _paste(canvas: np.ndarray, tile: np.ndarray, y: int, x: int) -> None:
    """Copy what of the tile [h, w, C] lies in the canvas, its first pixel at (y, x)."""
    tile = tile[max(-y, 0) : len(canvas) - y, max(-x, 0) : canvas.shape[1] - x]
    y, x = max(y, 0), max(x, 0)
    canvas[y : y + len(tile), x : x + tile.shape[1]] = tile


def _latents(G: Generator, config: CanvasConfig, rows: int, columns: int) -> Tensor:
    """The latents of the canvas before they are spread: [rows, columns, D]."""
    if config.latents == "interpolated":
        anchor_rows, anchor_columns = (
            -(-(count - 1) // config.spacing) + 1 for count in (rows, columns)
        )
        anchors = _from_seeds(G, config, anchor_rows, anchor_columns)
        return interpolate_grid(anchors, config.spacing, G.latent_dim, interpolation_for(G.latent))[
            :rows, :columns
        ]
    return _from_seeds(G, config, rows, columns)


def _from_seeds(G: Generator, config: CanvasConfig, rows: int, columns: int) -> Tensor:
    seeds = config.seed_list()
    by_place = len(seeds) == 1 and config.latents != "repeated"
    placed = (
        seeds_by_place(seeds[0], rows, columns) if by_place else seeds_in_turn(seeds, rows, columns)
    )
    latents = latents_from_seeds(G, placed, config.truncation, config.label)
    return latents.unflatten(0, (rows, columns))


def _latents_along(G: Generator, config: CanvasConfig, pixels: int) -> int:
    """Latents along a side of the canvas, so many that all of it has as many as overlap."""
    last_pixel = margin(G, config) + pixels - 1
    return last_pixel // _cell_pixels(G) // config.stride + 1


def _cell_pixels(G: Generator) -> int:
    return G.size // BASE_SIZE
