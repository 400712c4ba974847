"""Monotone FISTA with restarts: min over x of weight / 2 |A x - y|^2 + g(x), rows at once.

Beck and Teboulle 2009 (equations 4.1 to 4.3), with the condition of their monotone version (IEEE
Transactions on Image Processing 18:2419): a point of higher energy is not taken. After one, the
momentum starts anew, an adaptive restart (O'Donoghue and Candès 2015). Without momentum, a
step lowers the energy for any g whose proximal operator is exact, convex or not.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan.deconv.sparse_coding.operators import Operator
from dcgan.deconv.sparse_coding.penalties import Penalty

_SLACK = 1e-3  # of the check of a step, for rounding


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where the iterations ended."""

    x: Tensor
    """[N, ...]."""
    image: Tensor
    """A x."""
    energies: Tensor
    """Of the start and after each iteration, [iterations + 1, N], on the device of x."""
    lipschitz: Tensor
    """The bounds that the last steps were made with, [N]."""


def minimize(
    operator: Operator,
    target: Tensor,
    start: Tensor,
    penalty: Penalty,
    weight: float,
    bound: float | Tensor,
    iterations: int,
    tolerance: float = 0.0,
    on_iteration: Callable[[], object] = lambda: None,
) -> Minimum:
    """Minimise from a start, each row by itself; the energy of no row ever rises.

    bound: of the largest eigenvalue of A^T A. A step that shows it to be too small is not taken,
    and the bound is doubled. The iterations end early where no row moves by more than `tolerance`
    of its norm.
    """
    per_row = (-1,) + (1,) * (start.dim() - 1)
    lipschitz = torch.as_tensor(bound, dtype=start.dtype, device=start.device) * weight
    lipschitz = lipschitz.expand(len(start)).clone().clamp_(min=torch.finfo(start.dtype).tiny)
    x, image = start, operator.forward(start)
    y, image_y = x, image
    t = torch.ones_like(lipschitz)
    energy = _fit(image, target, weight) + penalty.value(x)
    energies = [energy]
    for _ in range(iterations):
        step = (1 / lipschitz).view(per_row)
        gradient = weight * operator.adjoint(image_y - target)
        candidate = penalty.prox(y - step * gradient, step)
        image_c = operator.forward(candidate)
        moved = _squares(candidate - y)
        fits = weight * _squares(image_c - image_y) <= lipschitz * moved * (1 + _SLACK)
        energy_c = _fit(image_c, target, weight) + penalty.value(candidate)
        taken = fits & (energy_c <= energy)
        next_t = (1 + (1 + 4 * t.square()).sqrt()) / 2
        momentum = torch.where(taken, (t - 1) / next_t, 0).view(per_row)
        choose = taken.view(per_row)
        next_x = torch.where(choose, candidate, x)
        next_image = torch.where(_like(taken, image), image_c, image)
        y = next_x + momentum * (next_x - x)
        image_y = next_image + _like(momentum, image) * (next_image - image)
        x, image = next_x, next_image
        t = torch.where(taken, next_t, 1)
        lipschitz = torch.where(fits, lipschitz, 2 * lipschitz)
        energy = torch.where(taken, energy_c, energy)
        energies.append(energy)
        on_iteration()
        if tolerance and bool((fits & (moved <= tolerance**2 * _squares(candidate))).all()):
            break
    return Minimum(x, image, torch.stack(energies), lipschitz / weight)


def _fit(image: Tensor, target: Tensor, weight: float) -> Tensor:
    return weight / 2 * _squares(image - target)


def _squares(x: Tensor) -> Tensor:
    return x.square().flatten(1).sum(1)


def _like(values: Tensor, x: Tensor) -> Tensor:
    """Values of rows in the form that broadcasts over x."""
    return values.reshape((-1,) + (1,) * (x.dim() - 1))
