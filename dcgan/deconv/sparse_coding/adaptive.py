"""Two layers with 3-D max pooling between them (Zeiler et al. 2011, adaptive deconvolutional
networks).

Both layers reconstruct the image: the second through the switches of the first layer's pooling,
which are inferred for each image with the maps of the first layer, and then fixed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan.config.sparse import SparseConfig
from dcgan.deconv.sparse_coding.alternation import Learned, Problem, alternate
from dcgan.deconv.sparse_coding.checks import check_count, check_filters
from dcgan.deconv.sparse_coding.encoding import (
    ITERATIONS,
    TOLERANCE,
    Codes,
    batches,
    check_problem,
    encode,
    join,
)
from dcgan.deconv.sparse_coding.fista import minimize
from dcgan.deconv.sparse_coding.operators import Chain, Operator, Synthesis
from dcgan.deconv.sparse_coding.penalties import PowerPenalty, UnitBalls
from dcgan.deconv.sparse_coding.pooling import Pool, Switches, Unpooling, pool_maps
from dcgan.runtime.device import full_float32_precision


@dataclass(frozen=True, eq=False)
class PooledCodes:
    """The codes of both layers, and the pooling between them."""

    lower: Codes
    """Of the images by the first layer; at most one value of a region is not zero."""
    pooled: Tensor
    """The maps of the first layer after pooling, [N, K', H', W']."""
    switches: Switches
    upper: Codes
    """Maps of the second layer, and the images that they give through switches and filters."""


@torch.no_grad()
@full_float32_precision()
def learn_above_pool(
    images: Tensor,
    lower_filters: Tensor,
    filters: int = SparseConfig.filters,
    size: int = SparseConfig.size,
    weight: float = SparseConfig.weight,
    rounds: int = SparseConfig.rounds,
    pool: Pool = Pool(),  # noqa: B008 (frozen)
    seed: int = SparseConfig.seed,
    on_round: Callable[[], object] = lambda: None,
) -> Learned:
    """Learn filters [filters, K', size, size] of the second layer from images [N, C, H, W].

    They start as Gaussian noise of norm 1 (of the seed). Raises UsageError for values out of range.
    """
    check_count("filters", filters)
    check_count("size", size)
    check_count("rounds", rounds)
    images, lower_filters, _ = check_problem(images, lower_filters, weight, 1.0, None)
    lower = encode(images, lower_filters, weight, pool=pool)
    pooled, switches = pool_maps(lower.maps, pool)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(filters, pooled.shape[1], size, size, generator=generator)
    start = (start / start.flatten(1).norm(dim=1)[:, None, None, None]).to(images)
    check_filters(start, pooled.shape[1], pooled.shape[2:], None)
    below = Synthesis(lower_filters)
    problem = Problem(
        *(images, weight, 1.0, PowerPenalty(), UnitBalls()),
        below=lambda rows: Chain(below, Unpooling(switches[rows])),
        below_bound=below.bound(images.shape[2:]),
        sums_size=(pooled.shape[2], pooled.shape[3]),
    )
    return alternate(problem, start, rounds, on_round)


@torch.no_grad()
@full_float32_precision()
def encode_pooled(
    images: Tensor,
    lower_filters: Tensor,
    upper_filters: Tensor,
    weight: float = SparseConfig.weight,
    pool: Pool = Pool(),  # noqa: B008 (frozen)
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
) -> PooledCodes:
    """Codes of images [N, C, H, W] by filters [K, C, h, w] and, above the pool, [L, K', h', w'].

    Each layer's energy, of the error of the images and the l1 norm of its maps, is minimised from
    zero. Raises UsageError as `encode` does.
    """
    images, lower_filters, _ = check_problem(images, lower_filters, weight, 1.0, None)
    lower = encode(images, lower_filters, weight, 1.0, iterations, tolerance, pool=pool)
    pooled, switches = pool_maps(lower.maps, pool)
    check_filters(upper_filters, pooled.shape[1], pooled.shape[2:], None)
    below, above = Synthesis(lower_filters), Synthesis(upper_filters.to(images))
    bound = below.bound(images.shape[2:]) * above.bound(pooled.shape[2:])
    shape = (len(images), len(upper_filters), *above.map_size(pooled.shape[2:]))
    found = []
    for rows in batches(shape):
        operator: Operator = Chain(below, Unpooling(switches[rows]), above)
        zeros = images.new_zeros(len(images[rows]), *shape[1:])
        found.append(
            minimize(
                *(operator, images[rows], zeros, PowerPenalty(), weight, bound),
                *(iterations, tolerance),
            )
        )
    return PooledCodes(lower, pooled, switches, join(found))
