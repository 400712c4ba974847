"""Corruption of images, as a pure function of the seed, the step and the index of an image.

Vincent et al. 2008, "Extracting and Composing Robust Features with Denoising Autoencoders", section
2.3, sets a fixed number of values to zero (masking). Vincent et al. 2010, "Stacked Denoising
Autoencoders" (JMLR 11), section 3.3, adds isotropic Gaussian noise and salt-and-pepper noise.

All three replace a value x by scale x + offset, with random scales and offsets, and limit it to
[-1, 1], since the files of noisy pictures hold no other values either.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcgan.config.denoising import CorruptionName, validate_noise_level

_STREAM = 5  # number of this random stream, see `training.image_loader`


class Corruption(NamedTuple):
    """The scales and offsets of n images, float32; broadcast to [n, C, H, W]."""

    scale: np.ndarray
    offset: np.ndarray


def sample_corruption(
    kind: CorruptionName,
    levels: tuple[float, float],
    shape: tuple[int, int, int],
    seed: int,
    step: int,
    indices: Iterable[int],
) -> Corruption:
    """The corruption of the images at `indices` of a step, each of the shape [C, H, W].

    The noise level of an image is low + (high - low) u^2, for the two `levels` and a random u,
    uniform from 0 to 1: high levels, whose squared errors are large, are less frequent. It is the
    standard deviation of Gaussian noise, or the fraction of the C x H x W values that is replaced,
    a fixed number of them (rounded) at random places: by 0 for masking, by -1 or 1 with equal
    probability for salt-and-pepper. That of an image does not depend on what other images there
    are.
    """
    parts = [
        _sample(kind, levels, shape, np.random.default_rng([seed, _STREAM, step, index]))
        for index in indices
    ]
    return Corruption(*(np.stack(arrays) for arrays in zip(*parts, strict=True)))


def corrupt(images: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """Apply a corruption to images [N, C, H, W] in [-1, 1] -> the same shape and range."""
    return torch.addcmul(offset, images, scale).clamp_(-1, 1)


def corrupt_images(
    images: Tensor,
    kind: CorruptionName,
    level: float,
    seed: int,
    step: int = 0,
    first: int = 0,
) -> Tensor:
    """Corrupt images [N, C, H, W] in [-1, 1] at one noise level; they have the indices `first`,
    `first` + 1, ... of a step. Raises UsageError for another kind, or a level that it cannot have.
    """
    validate_noise_level(kind, level)
    count, channels, height, width = images.shape
    shape, indices = (channels, height, width), range(first, first + count)
    noise = sample_corruption(kind, (level, level), shape, seed, step, indices)
    return corrupt(images, *(torch.from_numpy(array).to(images) for array in noise))


def _sample(
    kind: CorruptionName,
    levels: tuple[float, float],
    shape: tuple[int, int, int],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """The scale and the offset of one image."""
    low, high = levels
    level = low + (high - low) * rng.random() ** 2
    if kind == "gaussian":
        noise = rng.standard_normal(shape, np.float32)
        return np.ones((1, 1, 1), np.float32), noise * np.float32(level)
    size = int(np.prod(shape))
    replaced = rng.permutation(size)[: round(level * size)]
    scale, offset = np.ones(size, np.float32), np.zeros(size, np.float32)
    scale[replaced] = 0
    if kind == "salt-and-pepper":
        offset[replaced] = 2 * rng.integers(0, 2, len(replaced)) - 1
    return scale.reshape(shape), offset.reshape(shape)
