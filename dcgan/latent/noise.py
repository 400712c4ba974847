"""Latent vectors as pure functions of integers, the same on every device."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dcgan.errors import UsageError


def draw(rng: np.random.Generator, shape: tuple[int, ...], law: str) -> np.ndarray:
    """float32 latents of N(0, 1) ("normal") or U(-1, 1) ("uniform", Radford et al. 2015)."""
    if law == "normal":
        return rng.standard_normal(shape, dtype=np.float32)
    return 2 * rng.random(shape, dtype=np.float32) - 1


def of_seeds(
    seeds: Sequence[int], latent_dim: int, law: str, truncation: float | None = None
) -> Tensor:
    """Row i depends on seeds[i] alone. -> float32 [N, latent_dim] on the CPU.

    Seeds are integers >= 0. `truncation`: the threshold of `truncate`.
    """
    rows = [draw(np.random.default_rng(seed), (latent_dim,), law) for seed in seeds]
    z = torch.from_numpy(np.stack(rows))
    return z if truncation is None else truncate(z, truncation, law)


def truncate(z: Tensor, threshold: float, law: str) -> Tensor:
    """Move latents into [-threshold, threshold] so that they follow the law truncated there.

    Brock et al. 2019 (BigGAN, section 3.1) draw again what falls outside. This keeps every latent
    and maps its quantile instead: the same seed stays the same picture, moved towards the middle.
    z: any shape, of law "normal" or "uniform". Raises UsageError where threshold <= 0.
    """
    if not threshold > 0:
        raise UsageError(f"--truncation must be above 0, not {threshold:g}")
    if law == "uniform":
        return z * min(threshold, 1.0)
    outside = normal_cdf(torch.tensor(-threshold, dtype=torch.float64))
    # The lower half of the quantiles keeps its digits; the upper half is its mirror image.
    quantile = outside + normal_cdf(-z.double().abs()) * (1 - 2 * outside)
    return (-torch.special.ndtri(quantile)).copysign(z).to(z.dtype)


def normal_cdf(x: Tensor) -> Tensor:
    """Phi(x) with all its digits far below 0, where `torch.special.ndtr` has none left."""
    return torch.erfc(-x / math.sqrt(2)) / 2
