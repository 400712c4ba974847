"""Learning filters: maps and filters are improved in turn, so that the energy of all images never
rises (Zeiler et al. 2010, section 3.3).

The step of the filters is projected onto norms of at most 1, where the paper divides filters by
their norm after it: then the energy might rise.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.config.sparse import SparseConfig
from dcgan.deconv.sparse_coding.checks import (
    check_count,
    check_filter_size,
    check_images,
    check_memory,
    check_penalty,
    check_positive,
)
from dcgan.deconv.sparse_coding.encoding import batches, first_maps
from dcgan.deconv.sparse_coding.fista import minimize
from dcgan.deconv.sparse_coding.operators import Chain, FilterSynthesis, Operator, Synthesis
from dcgan.deconv.sparse_coding.penalties import Penalty, PooledL1, PowerPenalty, UnitBalls
from dcgan.deconv.sparse_coding.pooling import Pool
from dcgan.errors import UsageError
from dcgan.runtime.device import full_float32_precision

_STEPS = 5  # of the maps, and of the filters, in a round


@dataclass(frozen=True, eq=False)
class Learned:
    """Filters, and the maps of the images that they were learnt from."""

    filters: Tensor
    """[K, C, h, w], each of norm at most 1."""
    maps: Tensor
    """[N, K, H + h - 1, W + w - 1]."""
    energies: Tensor
    """Of all images together: at the start, and after the maps and after the filters of each round,
    [2 rounds + 1], on the CPU."""


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
    filter is connected to (the paper's g). pool, padding: see `encode`. Raises UsageError for
    values out of range.
    """
    images = check_images(images)
    check_count("filters", filters)
    check_count("size", size)
    check_count("rounds", rounds)
    check_positive("weight", weight)
    check_penalty(p)
    check_filter_size((size, size), images.shape[2:])
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
    balls = UnitBalls(None if connectivity is None else connectivity.to(images))
    penalty: Penalty = PooledL1(pool) if pool else PowerPenalty(p)
    return alternate(images, start.to(images), weight, p, rounds, penalty, balls, padding, on_round)


def alternate(
    images: Tensor,
    filters: Tensor,
    weight: float,
    p: float,
    rounds: int,
    penalty: Penalty,
    balls: UnitBalls,
    padding: int | None,
    on_round: Callable[[], object],
    below: Callable[[slice], Operator] | None = None,
    below_bound: float = 1.0,
    size: tuple[int, int] | None = None,
) -> Learned:
    """Improve maps and filters in turn.

    `below` gives what maps the sums of the filters of some images on to these images; `size` is
    then the (height, width) of the sums, and below_bound one of its squared norm.
    """
    filters = balls.prox(filters[None], filters.new_ones(1))[0]
    synthesis = Synthesis(filters, padding)
    sums_size = size or (images.shape[2], images.shape[3])
    shape = (len(images), len(filters), *synthesis.map_size(sums_size))
    check_memory(shape[0], shape[1], shape[2:])

    def operator(rows: slice) -> Operator:
        return Chain(below(rows), synthesis) if below else synthesis

    maps = torch.cat(
        [first_maps(operator(rows), images[rows], shape[1:], weight, p) for rows in batches(shape)]
    )
    fit = sum(
        (operator(rows).forward(maps[rows]) - images[rows]).square().sum()
        for rows in batches(shape)
    )
    energies = [weight / 2 * torch.as_tensor(fit) + penalty.value(maps).sum()]
    filter_bound = torch.zeros(())
    for _ in range(rounds):
        synthesis = Synthesis(filters, padding)
        bound = synthesis.bound(sums_size) * below_bound
        total = images.new_zeros(())
        for rows in batches(shape):
            found = minimize(
                operator(rows), images[rows], maps[rows], penalty, weight, bound, _STEPS
            )
            maps[rows] = found.x
            total = total + found.energies[-1].sum()
        energies.append(total)
        if below is None:
            filters = _replace_unused(images, maps, filters, balls, padding)
        # The norm of an unknown filter's column is a lower bound; a round in vain doubles it.
        lowest = maps.square().sum((0, 2, 3)).max()
        filter_bound = torch.maximum(filter_bound.to(lowest) / 2, lowest)
        by_filters = FilterSynthesis(maps, synthesis.padding, below(slice(None)) if below else None)
        best = minimize(
            by_filters, images[None], filters[None], balls, weight, filter_bound, _STEPS
        )
        filters, filter_bound = best.x[0], best.lipschitz[0]
        energies.append(best.energies[-1, 0] + penalty.value(maps).sum())
        on_round()
    return Learned(filters, maps, torch.stack(energies).cpu())


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


def _replace_unused(
    images: Tensor, maps: Tensor, filters: Tensor, balls: UnitBalls, padding: int | None
) -> Tensor:
    """Filters whose maps are all zero become patches with the largest errors; the energy stays."""
    unused = (maps.abs().amax((0, 2, 3)) == 0).nonzero()[:, 0].tolist()
    if not unused:
        return filters
    error = images - Synthesis(filters, padding).forward(maps)
    size = filters.shape[2]
    strength = F.avg_pool2d(error.square().sum(1, keepdim=True), size, 1)  # [N, 1, H', W']
    filters = filters.clone()
    for k in unused:
        which, place = divmod(int(strength.argmax()), strength[0].numel())
        top, left = divmod(place, strength.shape[3])
        patch = error[which, :, top : top + size, left : left + size]
        if not patch.any():
            break
        filters[k] = patch / patch.norm()
        rows, columns = (slice(max(0, at - size + 1), at + size) for at in (top, left))
        strength[which, 0, rows, columns] = 0
    return balls.prox(filters[None], filters.new_ones(1))[0]
