"""Latent vectors as pure functions of integers, the same on every device."""

import math
import operator
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dcgan.errors import UsageError

ArrayLike = Tensor | np.ndarray | Sequence | float


def as_floats(values: ArrayLike) -> Tensor:
    """A floating-point tensor of the same numbers; no copy where they are that already."""
    tensor = torch.as_tensor(values)
    return tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())


def sample_noise(rng: np.random.Generator, shape: tuple[int, ...], distribution: str) -> np.ndarray:
    """float32 samples of N(0, 1) ("normal") or U(-1, 1) ("uniform", Radford et al. 2015)."""
    if distribution == "normal":
        return rng.standard_normal(shape, dtype=np.float32)
    return 2 * rng.random(shape, dtype=np.float32) - 1


def noise_from_seeds(
    seeds: Sequence[int], latent_dim: int, distribution: str, truncation: float | None = None
) -> Tensor:
    """Latents of seeds, integers >= 0 -> float32 [N, latent_dim] on the CPU.

    Row i depends on seeds[i] alone. `truncation`: the threshold of `truncate`. Raises UsageError
    for seeds that are no such integers.
    """
    rows = [sample_noise(_generator(seed), (latent_dim,), distribution) for seed in seeds]
    z = torch.from_numpy(np.array(rows, np.float32).reshape(-1, latent_dim))
    return z if truncation is None else truncate(z, truncation, distribution)


def _generator(seed: int) -> np.random.Generator:
    try:
        return np.random.default_rng(operator.index(seed))
    except (TypeError, ValueError):
        raise UsageError(f"a seed must be a whole number of at least 0, not {seed!r}") from None


def truncate(z: ArrayLike, threshold: float, distribution: str) -> Tensor:
    """Map latents into [-threshold, threshold], where they follow the truncated distribution.

    Brock et al. 2019 (BigGAN, section 3.1) sample again what falls outside. This maps the quantile
    of every latent instead, so that a seed keeps its image, moved towards the mean.
    z: any shape, of distribution "normal" or "uniform". Raises UsageError where threshold <= 0.
    """
    if not isinstance(threshold, int | float | np.number):
        raise UsageError(f"--truncation must be a number, not {threshold!r}")
    if not threshold > 0:
        raise UsageError(f"--truncation must be above 0, not {threshold:g}")
    z = as_floats(z)
    if distribution == "uniform":
        return z * min(threshold, 1.0)
    outside = _normal_cdf(torch.tensor(-threshold, dtype=torch.float64))
    # The lower half of the quantiles keeps its digits; the upper half is its mirror image.
    quantile = outside + _normal_cdf(-z.double().abs()) * (1 - 2 * outside)
    return (-torch.special.ndtri(quantile)).copysign(z).to(z.dtype)


def _normal_cdf(x: Tensor) -> Tensor:
    """Phi(x), accurate far below 0, where `torch.special.ndtr` is 0."""
    return torch.erfc(-x / math.sqrt(2)) / 2
