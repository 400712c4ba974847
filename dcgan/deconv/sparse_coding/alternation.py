"""Maps and filters, improved in turn (Zeiler et al. 2010): the energy of all images never rises.

The step of the filters is projected onto norms of at most 1: to divide them by their norms after it
might raise the energy. After each round, maps and filters are moved on in the direction of the
round, as far as that lowers the energy: steps in turn are small, since the maps fit the filters
that there were.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.deconv.sparse_coding.checks import check_memory
from dcgan.deconv.sparse_coding.encoding import batches, first_maps
from dcgan.deconv.sparse_coding.fista import minimize
from dcgan.deconv.sparse_coding.operators import Chain, FilterSynthesis, Operator, Synthesis
from dcgan.deconv.sparse_coding.penalties import Penalty, UnitBalls

_MAP_STEPS, _FILTER_STEPS = 8, 2  # of a round
_FIRST_BOUND, _RELIEF = 16.0, 0.8  # of the step of the filters
_GROWTH, _SHRINKAGE, _SHORTEST = 1.5, 0.5, 0.25  # of the move beyond a round


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


@dataclass(frozen=True, eq=False)
class Problem:
    """What filters are learnt from."""

    images: Tensor
    weight: float
    p: float
    penalty: Penalty
    balls: UnitBalls
    padding: int | None = None
    below: Callable[[slice], Operator] | None = None
    """For some images: what maps the sums of the filters on to these images. None: the sums are the
    images."""
    below_bound: float = 1.0
    """Of the largest eigenvalue of its A^T A."""
    sums_size: tuple[int, int] | None = None
    """(height, width) of the sums, where there is something below."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the sums."""
        return self.sums_size or (self.images.shape[2], self.images.shape[3])

    def operator(self, filters: Tensor, rows: slice) -> Operator:
        """From the maps of some images to these."""
        synthesis = Synthesis(filters, self.padding)
        return Chain(self.below(rows), synthesis) if self.below else synthesis

    def energy(self, maps: Tensor, filters: Tensor) -> Tensor:
        """Of all images together."""
        total = self.images.new_zeros(())
        for rows in batches(tuple(maps.shape)):
            error = self.operator(filters, rows).forward(maps[rows]) - self.images[rows]
            fit = self.weight / 2 * error.square().sum()
            total = total + fit + self.penalty.value(maps[rows]).sum()
        return total


def alternate(
    problem: Problem, filters: Tensor, rounds: int, on_round: Callable[[], object]
) -> Learned:
    """Improve maps, from those that `encode` starts at, and filters, for some rounds."""
    images, filters = problem.images, problem.balls.project(filters)
    maps = _first_maps(problem, filters)
    energies = [problem.energy(maps, filters)]
    before, reach, bound = None, 1.0, _FIRST_BOUND
    for _ in range(rounds):
        energies.append(_improve_maps(problem, maps, filters))
        if problem.below is None:
            filters = _replace_unused(images, maps, filters, problem)
        filters, energy, bound = _improve_filters(problem, maps, filters, bound)
        now = maps.clone(), filters
        if before is not None:
            further = filters + reach * (filters - before[1])
            further_maps = maps + reach * (maps - before[0])
            further_maps = torch.where(further_maps * maps > 0, further_maps, 0)  # as sparse
            further = problem.balls.project(further)
            further_energy = problem.energy(further_maps, further)
            if further_energy < energy:
                maps, filters, energy = further_maps, further, further_energy
                reach *= _GROWTH
            else:
                reach = max(reach * _SHRINKAGE, _SHORTEST)
        before = now
        energies.append(energy)
        on_round()
    return Learned(filters, maps, torch.stack(energies).cpu())


def _first_maps(problem: Problem, filters: Tensor) -> Tensor:
    synthesis = Synthesis(filters, problem.padding)
    shape = (len(problem.images), len(filters), *synthesis.map_size(problem.size))
    check_memory(shape[0], shape[1], shape[2:])
    bound = synthesis.bound(problem.size) * problem.below_bound
    found = [
        first_maps(
            *(problem.operator(filters, rows), problem.images[rows], shape[1:]),
            *(problem.weight, problem.p, bound),
        )
        for rows in batches(shape)
    ]
    return torch.cat(found)


def _improve_maps(problem: Problem, maps: Tensor, filters: Tensor) -> Tensor:
    """Improve the maps in place, and return the energy."""
    bound = Synthesis(filters, problem.padding).bound(problem.size) * problem.below_bound
    total = problem.images.new_zeros(())
    for rows in batches(tuple(maps.shape)):
        found = minimize(
            *(problem.operator(filters, rows), problem.images[rows], maps[rows], problem.penalty),
            *(problem.weight, bound, _MAP_STEPS),
        )
        maps[rows] = found.x
        total = total + found.energies[-1].sum()
    return total


def _improve_filters(
    problem: Problem, maps: Tensor, filters: Tensor, bound: float
) -> tuple[Tensor, Tensor, float]:
    """Filters, the energy, and the bound that the steps were made with."""
    below = problem.below(slice(None)) if problem.below else None
    by_filters = FilterSynthesis(maps, Synthesis(filters, problem.padding).padding, below)
    balls = UnitBalls(problem.balls.connectivity, by_filters.norms)
    start = (filters * by_filters.norms)[None]
    # No bound is below 1, the norm of a column. From a little less than the last one, it doubles
    # as needed.
    found = minimize(
        *(by_filters, problem.images[None], start, balls, problem.weight),
        *(max(1.0, _RELIEF * bound), _FILTER_STEPS),
    )
    energy = found.energies[-1, 0] + problem.penalty.value(maps).sum()
    return found.x[0] / by_filters.norms, energy, found.lipschitz.item()


def _replace_unused(images: Tensor, maps: Tensor, filters: Tensor, problem: Problem) -> Tensor:
    """Filters whose maps are all zero become patches with the largest errors; the energy stays."""
    unused = (maps.abs().amax((0, 2, 3)) == 0).nonzero()[:, 0].tolist()
    if not unused:
        return filters
    error = images - Synthesis(filters, problem.padding).forward(maps)
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
    return problem.balls.project(filters)
