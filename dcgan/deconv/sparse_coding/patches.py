"""Sparse coding of patches, as in the UFLDL tutorial (Ng et al.; Olshausen and Field 1996).

A patch is a sum of filters of its own size, which is convolutional coding with maps of one pixel:
`encode` and `learn_filters` with `padding=0`. Where the tutorial smooths |s| to sqrt(s^2 + eps) for
its gradients, and adds the filters' norms to the cost, FISTA needs no smoothing and the norms are
at most 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan.deconv.sparse_coding.checks import (
    check_count,
    check_filter_size,
    check_images,
    check_positive,
)


@dataclass(frozen=True, eq=False)
class Whitening:
    """ZCA whitening: patches without their mean, of covariance C, times (C + eps)^(-1/2)."""

    mean: Tensor
    """[C, h, w]."""
    matrix: Tensor
    """[C h w, C h w], symmetric."""

    def __call__(self, patches: Tensor) -> Tensor:
        """[N, C, h, w] -> the same, whitened."""
        flat = (patches - self.mean).flatten(1)
        return (flat @ self.matrix).view_as(patches)


@torch.no_grad()
def random_patches(images: Tensor, size: int, count: int, seed: int = 0) -> Tensor:
    """Patches [count, C, size, size] at random places of random images [N, C, H, W], each without
    its mean. Raises UsageError for a size that is larger than the images.
    """
    images = check_images(images)
    check_count("size", size)
    check_count("count", count)
    check_filter_size((size, size), images.shape[2:])
    generator = torch.Generator().manual_seed(seed)
    number, _, height, width = images.shape
    which, top, left = (
        torch.randint(limit, (count,), generator=generator).tolist()
        for limit in (number, height - size + 1, width - size + 1)
    )
    patches = torch.stack(
        [images[n, :, y : y + size, x : x + size] for n, y, x in zip(which, top, left, strict=True)]
    )
    return patches - patches.mean((1, 2, 3), keepdim=True)


@torch.no_grad()
def whitening(patches: Tensor, epsilon: float = 0.1) -> Whitening:
    """The ZCA whitening of patches [N, C, h, w]; epsilon, in units of the mean variance, keeps what
    hardly varies from being amplified. Raises UsageError unless it is above 0.
    """
    patches = check_images(patches, "patches")
    check_positive("epsilon", epsilon)
    mean = patches.mean(0)
    flat = (patches - mean).flatten(1)
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    scale = (values.clamp(min=0) + epsilon * values.mean()).rsqrt()
    return Whitening(mean, vectors * scale @ vectors.T)
