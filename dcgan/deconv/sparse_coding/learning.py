"""Learning the filters that reconstruct images sparsely."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dcgan.config.sparse import SparseConfig
from dcgan.deconv.sparse_coding.alternation import Learned, Problem, alternate
from dcgan.deconv.sparse_coding.checks import (
    check_count,
    check_filter_size,
    check_images,
    check_memory,
    check_padding,
    check_penalty,
    check_positive,
)
from dcgan.deconv.sparse_coding.penalties import Penalty, PooledL1, PowerPenalty, UnitBalls
from dcgan.deconv.sparse_coding.pooling import Pool
from dcgan.errors import UsageError
from dcgan.runtime.device import full_float32_precision


@torch.no_grad()
@full_float32_precision()
def learn_filters(
    images: Tensor,
    filters: int = SparseConfig.filters,
    size: int = SparseConfig.size,
    weight: float = SparseConfig.weight,
    p: float = SparseConfig.p,
    rounds: int = SparseConfig.rounds,
    seed: int = SparseConfig.seed,
    connectivity: Tensor | None = None,
    pool: Pool | None = None,
    padding: int | None = None,
    start: Tensor | None = None,
    on_round: Callable[[], object] = lambda: None,
) -> Learned:
    """Learn filters [K, C, size, size] from images [N, C, H, W], on the device of these.

    They start as random patches of the images (of the seed), or as `start`. A filter that no image
    uses becomes the patch that is reconstructed worst. connectivity: bool [K, C], which channels a
    filter is connected to. pool, padding: see `encode`. Raises UsageError for values out of range.
    """
    images = check_images(images)
    check_count("filters", filters)
    check_count("size", size)
    check_count("rounds", rounds)
    check_positive("weight", weight)
    check_penalty(p)
    check_filter_size((size, size), images.shape[2:])
    check_padding(padding, (size, size))
    check_memory(len(images), filters, images.shape[2:])
    if connectivity is not None and connectivity.shape != (filters, images.shape[1]):
        raise UsageError(
            f"the connectivity must be [{filters}, {images.shape[1]}], "
            f"not {list(connectivity.shape)}"
        )
    if start is None:
        start = _random_patches(images, filters, size, seed)
    if start.shape != (filters, images.shape[1], size, size):
        raise UsageError(
            f"the start must be [{filters}, {images.shape[1]}, {size}, {size}], "
            f"not {list(start.shape)}"
        )
    if pool is not None and p != 1:
        raise UsageError(f"with a pool, the penalty must be l1: --p must be 1, not {p}")
    balls = UnitBalls(None if connectivity is None else connectivity.to(images))
    penalty: Penalty = PooledL1(pool) if pool else PowerPenalty(p)
    problem = Problem(images, weight, p, penalty, balls, padding)
    return alternate(problem, start.to(images), rounds, on_round)


def _random_patches(images: Tensor, count: int, size: int, seed: int) -> Tensor:
    """Patches of norm 1, [count, C, size, size], of the more contrasted half of random ones."""
    generator = torch.Generator().manual_seed(seed)
    number, channels, height, width = images.shape
    drawn = []
    for _ in range(2 * count):
        which, top, left = (
            int(torch.randint(limit, (), generator=generator))
            for limit in (number, height - size + 1, width - size + 1)
        )
        patch = images[which, :, top : top + size, left : left + size]
        drawn.append(patch)
    patches = torch.stack(drawn)
    strongest = patches.square().sum((1, 2, 3)).argsort(descending=True, stable=True)[:count]
    patches = patches[strongest.sort().values]
    noise = torch.randn(patches.shape, generator=generator).to(images)
    patches = patches + 1e-3 * noise / math.sqrt(channels * size**2)  # flat images have none
    return patches / patches.square().sum((1, 2, 3), keepdim=True).sqrt()
