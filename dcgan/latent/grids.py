"""Grids of latents, from which a generator draws one large image.

The first layer of G is a transposed convolution of stride 1: the latent of a cell is added to
`kernel` x `kernel` positions of the smallest maps, those of one image. With a latent in every
`kernel`-th cell and zeros between them, each position has one latent, as in training: the images
lie beside one another, and the layers above join them without a seam. Latents at a smaller stride
overlap: (kernel / stride)² of them are added up at each position, and G draws textures.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dcgan.latent.interpolation import Interpolation, lerp, slerp


def cell_seed(seed: int, row: int, column: int) -> int:
    """The seed below 2⁶³ of a place in a grid, whatever the extent of the grid is."""
    state = np.random.SeedSequence([seed, row, column]).generate_state(1, np.uint64)
    return int(state[0]) >> 1


def seeds_by_place(seed: int, rows: int, columns: int) -> list[int]:
    """A seed for every place of a grid, row by row, see `cell_seed`."""
    return [cell_seed(seed, row, column) for row in range(rows) for column in range(columns)]


def seeds_in_turn(seeds: Sequence[int], rows: int, columns: int) -> list[int]:
    """The seeds of a grid, row by row, in turn along its rows and along its columns."""
    count = len(seeds)
    return [seeds[(row + column) % count] for row in range(rows) for column in range(columns)]


def interpolate_grid(
    anchors: Tensor, spacing: int, latent_dim: int, interpolate: Interpolation = slerp
) -> Tensor:
    """Latents between anchors [R, C, D] -> [spacing (R - 1) + 1, spacing (C - 1) + 1, D].

    First along the rows, then along the columns between these, by `interpolate`. Columns from
    `latent_dim` on are labels, which are interpolated linearly.
    """
    along_rows = _interpolate_rows(anchors.transpose(0, 1), spacing, latent_dim, interpolate)
    return _interpolate_rows(along_rows.transpose(0, 1), spacing, latent_dim, interpolate)


def _interpolate_rows(
    anchors: Tensor, spacing: int, latent_dim: int, interpolate: Interpolation
) -> Tensor:
    """[R, C, D] -> [spacing (R - 1) + 1, C, D]."""
    place = torch.arange(spacing * (len(anchors) - 1) + 1)
    first = place // spacing
    t = (place % spacing / spacing)[:, None, None]
    start, end = anchors[first], anchors[(first + 1).clamp(max=len(anchors) - 1)]
    z = interpolate(start[..., :latent_dim], end[..., :latent_dim], t)
    return torch.cat([z, lerp(start[..., latent_dim:], end[..., latent_dim:], t)], -1)


def spread(latents: Tensor, stride: int, kernel: int, latent_dim: int) -> Tensor:
    """Latents [R, C, D] in every `stride`-th cell of a grid [1, D, stride (R - 1) + 1, ...], with
    zeros between them.

    Where kernel / stride latents overlap along each side, z is multiplied by stride / kernel: the
    sum of independent ones has the variance of one. Labels (the columns from `latent_dim` on) are
    multiplied by its square: their sum is a mean of labels.
    """
    rows, columns, numbers = latents.shape
    share = stride / kernel
    scale = torch.full((numbers,), share)
    scale[latent_dim:] = share**2
    grid = latents.new_zeros(stride * (rows - 1) + 1, stride * (columns - 1) + 1, numbers)
    grid[::stride, ::stride] = latents * scale
    return grid.permute(2, 0, 1)[None]
