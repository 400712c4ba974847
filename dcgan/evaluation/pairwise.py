"""Helpers of the metrics on features: checks, float64, and distances of all pairs in blocks.

Features are tensors [N, F] and stay on their device where it has float64. All-pairs matrices are
computed a block of rows at a time, so memory grows with N and not with N^2.

The metrics are our own because torch-fidelity's, which tests compare them with, come with a large
optional package, lack density and coverage, and compute the real side anew for every evaluation.
docs/recipe.md has the times of both.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dcgan.runtime.device import full_float32_precision

_MAX_BLOCK_ELEMENTS = 2**24  # of an all-pairs matrix: 128 MiB in float64


def check_features(features: Tensor, min_rows: int) -> None:
    """Raise ValueError unless features are [N, F] with N >= `min_rows`."""
    if features.dim() != 2 or len(features) < min_rows:
        raise ValueError(
            f"features must be [N, F] with N >= {min_rows}, not {list(features.shape)}"
        )


def to_float64(features: Tensor) -> Tensor:
    """Features in float64: on their device where it has that type, else on the host.

    Apple's GPUs have no float64 at all, and some of Intel's have none.
    """
    on_device = features.device.type in ("cpu", "cuda")
    return (features if on_device else features.cpu()).double()


def row_blocks(x: Tensor, columns: int) -> Iterator[Tensor]:
    """Split the rows of x so that a block's all-pairs matrix with `columns` columns stays small."""
    return iter(x.split(max(1, _MAX_BLOCK_ELEMENTS // columns)))


@full_float32_precision()
def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances of all pairs of rows, [n, F] and [m, F] -> [n, m].

    Distances within rounding error of zero are set to exactly zero, as that of a row to its copy.
    """
    squares = x.square().sum(1)[:, None] + y.square().sum(1)
    rounding = squares * (4 * x.shape[1] ** 0.5 * torch.finfo(x.dtype).eps)
    squares.addmm_(x, y.T, alpha=-2)
    return squares.masked_fill_(squares <= rounding, 0)
