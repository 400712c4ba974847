"""Vector arithmetic on latents (Radford et al. 2015, arXiv:1511.06434, section 6.3.2)."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dcgan.errors import UsageError

NEIGHBOUR_NOISE = 0.25  # largest change of a component (Radford et al. 2015, figure 7)
_LENGTH_DEVIATION = 0.5**0.5  # of the length of a vector of N(0, 1), for many dimensions


def add_and_subtract(plus: Sequence[Tensor], minus: Sequence[Tensor]) -> Tensor:
    """The means over each operand of `plus`, added up, less those of `minus`: [D].

    An operand holds one latent or several, [n, D]. Where each is a mean of three, as in the paper,
    A - B + C is as long as one latent, since the mean of n independent latents is shorter by the
    root of n. Raises UsageError where nothing is added.
    """
    if not plus:
        raise UsageError("arithmetic needs an operand to add: give --plus")
    result = torch.stack([z.mean(0) for z in plus]).sum(0)
    return result - torch.stack([z.mean(0) for z in minus]).sum(0) if minus else result


def to_typical(z: Tensor, latent_dim: int, distribution: str) -> Tensor:
    """The latents nearest to `z` [..., D] among those that G has seen in training.

    Normal latents are scaled to a length within two standard deviations of the root of
    `latent_dim`, where 95 % of all are; a sum of means of many exemplars is much shorter. Uniform
    ones are clamped to [-1, 1]. Columns from `latent_dim` on are labels, clamped to [0, 1].
    """
    noise, labels = z[..., :latent_dim], z[..., latent_dim:]
    if distribution == "uniform":
        noise = noise.clamp(-1, 1)
    else:
        length = noise.norm(dim=-1, keepdim=True)
        middle, deviations = math.sqrt(latent_dim), 2 * _LENGTH_DEVIATION
        typical = length.clamp(max(middle - deviations, 0), middle + deviations)
        noise = noise * torch.where(length > 0, typical / length, 1.0)
    return torch.cat([noise, labels.clamp(0, 1)], -1)


def neighbours(z: Tensor, latent_dim: int) -> Tensor:
    """Eight latents near z [D]: uniform noise of at most NEIGHBOUR_NOISE is added to its first
    `latent_dim` components, the same for every z. [8, D].
    """
    noise = np.random.default_rng(0).uniform(-NEIGHBOUR_NOISE, NEIGHBOUR_NOISE, (8, latent_dim))
    near = z.expand(len(noise), -1).clone()
    near[:, :latent_dim] += torch.from_numpy(noise).to(z)
    return near
