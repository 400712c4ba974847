"""Penalties of feature maps and filters, and their proximal operators."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.deconv.sparse_coding.pooling import Pool, pool_maps, unpool_maps

_NEWTON_STEPS = 8


class Penalty(Protocol):
    """A function g of each row."""

    def value(self, x: Tensor) -> Tensor:
        """g of each row, [N]."""

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        """The minimiser of |x - v|^2 / 2 + step g(x) of each row; step: [N, 1, ...]."""


@dataclass(frozen=True)
class PowerPenalty:
    """sum |x|^p with 0 < p <= 1: l1 and, below 1, penalties that shrink large values less."""

    p: float = 1.0

    def value(self, x: Tensor) -> Tensor:
        magnitudes = x.abs()
        return (magnitudes if self.p == 1 else magnitudes.pow(self.p)).flatten(1).sum(1)

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return shrink(v, step, self.p)


@dataclass(frozen=True)
class PooledL1:
    """sum |x|, with at most one value other than zero in each region of a 3-D max pooling.

    Its proximal operator keeps the largest magnitude of each region and shrinks that: the
    shrinkage, pooling and unpooling that end each step of inference in Zeiler et al. 2011.
    """

    pool: Pool

    def value(self, x: Tensor) -> Tensor:
        return x.abs().flatten(1).sum(1)

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return unpool_maps(*pool_maps(shrink(v, step, 1.0), self.pool))


@dataclass(frozen=True)
class UnitBalls:
    """Filters [1, K, C, h, w], each of a norm up to its radius; a filter is zero in the channels
    that it is not connected to.
    """

    connectivity: Tensor | None = None  # bool [K, C]
    radii: Tensor | float = 1.0  # [K, 1, 1, 1]

    def value(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x))

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        if self.connectivity is not None:
            v = v * self.connectivity[None, :, :, None, None]
        norms = v.square().sum((2, 3, 4), keepdim=True).sqrt()
        return v / (norms / self.radii).clamp(min=1)

    def project(self, filters: Tensor) -> Tensor:
        """The nearest such filters: [K, C, h, w] -> the same."""
        return self.prox(filters[None], filters.new_ones(1))[0]


def shrink(v: Tensor, step: Tensor, p: float) -> Tensor:
    """The minimiser x of (x - v)^2 / 2 + step |x|^p, elementwise, for 0 < p <= 1.

    For p = 1 soft thresholding. Below, x is 0 up to the threshold
    (2 - p) / 2 (1 - p)^((p - 1) / (2 - p)) (2 step)^(1 / (2 - p)), and above it the larger root of
    x + p step x^(p - 1) = |v|, which Newton's method approaches from |v| without overshooting.
    """
    if p == 1:
        return v.sign() * F.relu(v.abs() - step)
    threshold = (2 - p) / 2 * (1 - p) ** ((p - 1) / (2 - p)) * (2 * step) ** (1 / (2 - p))
    kept = v.abs() > threshold
    result = torch.zeros_like(v)
    magnitude = v[kept].abs()
    scale = step.expand_as(v)[kept] * p
    x = magnitude.clone()
    for _ in range(_NEWTON_STEPS):
        power = scale * x.pow(p - 1)
        x = x - (x + power - magnitude) / (1 + (p - 1) * power / x)
    result[kept] = x * v[kept].sign()
    return result
