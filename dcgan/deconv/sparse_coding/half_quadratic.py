"""Half-quadratic splitting for penalties |z|^p: the continuation of Zeiler et al. 2010.

Auxiliary variables x stand for the feature maps z in the penalty:

    weight / 2 |A z - y|^2 + beta / 2 |z - x|^2 + sum |x|^p.

For a fixed beta this is minimised in turn over x, by shrinkage of each value, and over z, a linear
system solved by conjugate gradients. Neither step raises it. beta grows until x and z agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan.deconv.sparse_coding.operators import Operator
from dcgan.deconv.sparse_coding.penalties import PowerPenalty, shrink


@dataclass(frozen=True, eq=False)
class Continuation:
    """Where the continuation ended."""

    maps: Tensor
    """The auxiliary variables x, which are sparse: [N, K, h, w]."""
    energies: Tensor
    """Of the split problem after each sweep over x and z: [betas, sweeps, N]."""


def continue_beta(
    operator: Operator,
    target: Tensor,
    start: Tensor,
    p: float,
    weight: float,
    betas: Sequence[float],
    sweeps: int = 2,
    cg_iterations: int = 5,
) -> Continuation:
    """Minimise from maps z [N, K, h, w], for each beta in turn."""
    penalty = PowerPenalty(p)
    z, x, energies = start, start, []
    for beta in betas:
        step = z.new_full((1, 1, 1, 1), 1 / beta)
        for _ in range(sweeps):
            x = shrink(z, step, p)
            z, image = _solve(operator, target, z, x, weight, beta, cg_iterations)
            split = beta / 2 * (z - x).square().flatten(1).sum(1)
            fit = weight / 2 * (image - target).square().flatten(1).sum(1)
            energies.append(fit + split + penalty.value(x))
    return Continuation(x, torch.stack(energies).unflatten(0, (len(betas), sweeps)))


def _solve(
    operator: Operator,
    target: Tensor,
    z: Tensor,
    x: Tensor,
    weight: float,
    beta: float,
    iterations: int,
) -> tuple[Tensor, Tensor]:
    """Conjugate gradients for (weight A^T A + beta) z = weight A^T y + beta x, from z.

    Returns z and A z. Each iteration lowers the quadratic.
    """
    image = operator.forward(z)
    residual = weight * operator.adjoint(target - image) + beta * (x - z)
    direction, norm = residual, _dot(residual, residual)
    tiny = torch.finfo(z.dtype).tiny
    for _ in range(iterations):
        step_image = operator.forward(direction)
        product = weight * operator.adjoint(step_image) + beta * direction
        length = norm / _dot(direction, product).clamp(min=tiny)
        z, image = z + length * direction, image + length * step_image
        residual = residual - length * product
        next_norm = _dot(residual, residual)
        direction = residual + next_norm / norm.clamp(min=tiny) * direction
        norm = next_norm
    return z, image


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2, 3), keepdim=True)
