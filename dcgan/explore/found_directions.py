"""Directions that were found, and the filmstrip along them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan import latent, sampling
from dcgan.explore.directions_file import Directions
from dcgan.explore.filmstrip import draw_filmstrip
from dcgan.networks import Generator, weights_hash


@dataclass(frozen=True, eq=False)
class Found:
    """What is to be saved, drawn and printed."""

    directions: Directions
    strip: Tensor  # latents [rows, columns, D]
    row_names: tuple[str, ...]
    lines: tuple[str, ...]


def draw(G: Generator, found: Found, precision: str) -> np.ndarray:
    """The filmstrip of what was found, uint8 [H, W, C]."""
    rows, columns, _ = found.strip.shape
    sampling.check_grid_size(G, rows * columns)
    batches = list(sampling.render(G, found.strip.flatten(0, 1), precision))
    cells = np.concatenate(batches)
    return draw_filmstrip(cells.reshape(rows, columns, *cells.shape[1:]), found.row_names)


def along(
    G: Generator,
    names: Sequence[str],
    vectors: Tensor,
    sizes: Sequence[float],
    method: str,
    seeds: Tensor,
    steps: int,
    lines: tuple[str, ...],
) -> Found:
    """A filmstrip along each direction from minus to plus its step, for each of the seeds."""
    t = torch.linspace(-1, 1, 2 * steps + 1)
    strip = torch.stack(
        [
            torch.stack([latent.move(seeds, place * size * vector, G.latent) for place in t], 1)
            for vector, size in zip(vectors, sizes, strict=True)
        ]
    ).flatten(0, 1)
    each = len(seeds) if len(vectors) > 1 else 0
    rows = tuple(name if i == 0 else "" for name in names for i in range(each))
    directions = Directions(
        tuple(names), vectors.cpu(), tuple(map(float, sizes)), method, weights_hash(G)
    )
    return Found(directions, strip, rows or ("",) * len(seeds), lines)
