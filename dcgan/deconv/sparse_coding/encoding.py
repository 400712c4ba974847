"""Sparse codes: the feature maps from which filters reconstruct images."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan.config.sparse import SparseConfig
from dcgan.deconv.sparse_coding.checks import (
    check_count,
    check_filters,
    check_images,
    check_memory,
    check_penalty,
    check_positive,
)
from dcgan.deconv.sparse_coding.fista import Minimum, minimize
from dcgan.deconv.sparse_coding.half_quadratic import continue_beta
from dcgan.deconv.sparse_coding.operators import Operator, Synthesis
from dcgan.deconv.sparse_coding.penalties import Penalty, PooledL1, PowerPenalty
from dcgan.deconv.sparse_coding.pooling import Pool
from dcgan.errors import UsageError
from dcgan.runtime.device import full_float32_precision

ITERATIONS = 200
TOLERANCE = 1e-4
_BATCH_NUMBERS = 2**22  # of feature maps in a batch
_FIRST_ITERATIONS, _FIRST_TOLERANCE = 100, 1e-3  # of the minimum of l1, where it is a start
_BETAS = tuple(2.0**k for k in range(-1, 8))  # in units of `weight`


@dataclass(frozen=True, eq=False)
class Codes:
    """Feature maps of N images, and what they reconstruct."""

    maps: Tensor
    """[N, K, H + h - 1, W + w - 1]."""
    reconstructions: Tensor
    """[N, C, H, W]."""
    energies: Tensor
    """At the start and after each iteration, [iterations + 1, N], on the CPU; see `energy`."""


@torch.no_grad()
@full_float32_precision()
def encode(
    images: Tensor,
    filters: Tensor,
    weight: float = SparseConfig.weight,
    p: float = SparseConfig.p,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
    start: Tensor | None = None,
    pool: Pool | None = None,
    padding: int | None = None,
    continuation: bool = False,
) -> Codes:
    """Minimise the energy of images [N, C, H, W] over their maps, on the device of the filters
    [K, C, h, w]; see `energy`.

    Monotone FISTA starts at zero, or at `start`; the energy never rises. For p = 1 the result is
    the global minimum. For p < 1, where it depends on the start, that is the minimum of p = 1 or,
    with `continuation`, what the continuation of Zeiler et al. 2010 finds from zero. With a pool,
    each region of it has at most one value other than zero (Zeiler et al. 2011); p must be 1.
    `padding`: see `Synthesis`. The iterations end early where no image's maps move by more than
    `tolerance` of their norm.

    Raises UsageError for tensors that do not fit each other, and for values out of range.
    """
    images, filters, padding = check_problem(images, filters, weight, p, padding)
    check_count("iterations", iterations, 0)
    if pool is not None and p != 1:
        raise UsageError(f"with a pool, the penalty must be l1: --p must be 1, not {p}")
    synthesis = Synthesis(filters, padding)
    shape = (len(images), len(filters), *synthesis.map_size(images.shape[2:]))
    check_memory(shape[0], shape[1], shape[2:])
    if start is not None and start.shape != shape:
        raise UsageError(f"the start must have the shape {list(shape)}, not {list(start.shape)}")
    bound = synthesis.bound(images.shape[2:])
    penalty: Penalty = PooledL1(pool) if pool else PowerPenalty(p)
    found = []
    for rows in batches(shape):
        target = images[rows]
        if start is not None:
            begin = start[rows].to(target)
        else:
            begin = first_maps(synthesis, target, shape[1:], weight, p, bound, continuation)
        found.append(
            minimize(synthesis, target, begin, penalty, weight, bound, iterations, tolerance)
        )
    return join(found)


def energy(
    images: Tensor,
    maps: Tensor,
    filters: Tensor,
    weight: float = SparseConfig.weight,
    p: float = SparseConfig.p,
    padding: int | None = None,
) -> Tensor:
    """weight / 2 |sum_k z_k * f_k - y|^2 + sum |z|^p of each image y, [N] (Zeiler et al. 2010,
    equation 2). Raises UsageError for tensors that do not fit each other.
    """
    images, filters, padding = check_problem(images, filters, weight, p, padding)
    synthesis = Synthesis(filters, padding)
    shape = (len(images), len(filters), *synthesis.map_size(images.shape[2:]))
    if maps.shape != shape:
        raise UsageError(f"the maps must have the shape {list(shape)}, not {list(maps.shape)}")
    error = synthesis.forward(maps.to(images)) - images
    return weight / 2 * error.square().flatten(1).sum(1) + PowerPenalty(p).value(maps)


def first_maps(
    operator: Operator,
    target: Tensor,
    shape: tuple[int, ...],
    weight: float,
    p: float,
    bound: float,
    continuation: bool = False,
) -> Tensor:
    """The maps [N, *shape] that `encode` starts at."""
    zeros = target.new_zeros(len(target), *shape)
    if p == 1:
        return zeros
    if continuation:
        return continue_beta(operator, target, zeros, p, weight, [weight * b for b in _BETAS]).maps
    return minimize(
        *(operator, target, zeros, PowerPenalty(1), weight, bound),
        *(_FIRST_ITERATIONS, _FIRST_TOLERANCE),
    ).x


def batches(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows of maps [N, K, H, W], so many at a time as are computed on together."""
    count = max(1, _BATCH_NUMBERS // (shape[1] * shape[2] * shape[3]))
    for first in range(0, shape[0], count):
        yield slice(first, first + count)


def join(found: list[Minimum]) -> Codes:
    """The results of all batches; those that ended early keep their last energy."""
    longest = max(len(each.energies) for each in found)
    energies = [
        torch.cat([each.energies, each.energies[-1:].expand(longest - len(each.energies), -1)])
        for each in found
    ]
    return Codes(
        torch.cat([each.x for each in found]),
        torch.cat([each.image for each in found]),
        torch.cat(energies, 1).cpu(),
    )


def check_problem(
    images: Tensor, filters: Tensor, weight: float, p: float, padding: int | None
) -> tuple[Tensor, Tensor, int | None]:
    """Images on the device of the filters, filters of the dtype of the images, and the padding.

    Raises UsageError where they do not fit each other.
    """
    images = check_images(images)
    check_filters(filters, images.shape[1], images.shape[2:], padding)
    check_positive("weight", weight)
    check_penalty(p)
    return images.to(filters.device), filters.to(images.dtype), padding
