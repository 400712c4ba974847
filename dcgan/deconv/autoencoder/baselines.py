"""Denoisers to compare with: a median filter, and projection on principal components.

Both have one number to choose, the size of the window and the number of components. It is chosen
for each noise level on training images, so that neither is worse than it need be.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan import images
from dcgan.latent.inversion import psnr

_MEDIAN_SIZES = (3, 5, 7)
_MEDIAN_IMAGES = 64  # on which its size is chosen
_MAX_IMAGES = 2000  # that principal components are computed from
_MAX_NUMBERS = 2**25  # in these images: 0.3 GB of float64
_MAX_WINDOW_NUMBERS = 2**23  # in the windows of a median filter at a time


def median_filter(noisy: Tensor, size: int) -> Tensor:
    """The median of a window of size x size pixels, size odd, in each channel: [N, C, H, W] -> the
    same shape. Images are mirrored at their borders, without repeating the edge.
    """
    _, _, height, width = noisy.shape
    padded = F.pad(noisy, (size // 2,) * 4, mode="reflect")
    step = max(1, _MAX_WINDOW_NUMBERS // (noisy[0].numel() * size**2))
    parts = []
    for part in padded.split(step):
        windows = part.unfold(2, size, 1).unfold(3, size, 1)  # [n, C, H, W, size, size]
        parts.append(windows.reshape(*part.shape[:2], height, width, size**2).median(-1).values)
    return torch.cat(parts)


@dataclass(frozen=True)
class PrincipalComponents:
    """The mean of images, and their orthonormal principal components, largest variance first."""

    mean: Tensor  # [D]
    components: Tensor  # [K, D]

    def project(self, noisy: Tensor, count: int) -> Tensor:
        """Images [N, C, H, W] projected on the mean and the first `count` components."""
        kept = self.components[:count]
        flat = noisy.flatten(1) - self.mean
        return (self.mean + (flat @ kept.T) @ kept).clamp(-1, 1).view_as(noisy)

    def best_count(self, clean: Tensor, noisy: Tensor) -> int:
        """The number of components with which the projections of noisy images are nearest to the
        clean ones [N, C, H, W] in mean square, before they are limited to [-1, 1].
        """
        ours, theirs = ((x.flatten(1) - self.mean) @ self.components.T for x in (noisy, clean))
        # |clean - projection|^2 changes by a^2 - 2 a b with a component of coefficients a and b.
        change = (ours.square() - 2 * ours * theirs).sum(0).double().cumsum(0)
        return int(torch.cat([change.new_zeros(1), change]).argmin())


def principal_components(pixels: np.ndarray) -> PrincipalComponents:
    """The principal components of images uint8 [N, S, S, C], on the CPU; see `choose_for_pca`."""
    x = images.to_float(torch.from_numpy(pixels)).flatten(1).double()
    mean = x.mean(0)
    x -= mean
    # With fewer images than pixels, their products are the smaller matrix. They square the ratio of
    # the variances, which float32 is too coarse for.
    variances, vectors = torch.linalg.eigh(x @ x.T)
    positive = variances > variances[-1] * 1e-9
    scaled = vectors[:, positive] / variances[positive].sqrt()
    return PrincipalComponents(mean.float(), (scaled.T @ x).flip(0).float())


def choose_for_pca(indices: np.ndarray, numbers: int) -> np.ndarray:
    """As many of these images, evenly spread, as components are computed from; each has `numbers`
    values.
    """
    count = min(len(indices), _MAX_IMAGES, max(2, _MAX_NUMBERS // numbers))
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(int)]


def best_median_size(clean: Tensor, noisy: Tensor) -> int:
    """The size of the median filter with the highest mean PSNR on images [N, C, H, W]."""
    fitting = [size for size in _MEDIAN_SIZES if size // 2 < clean.shape[-1]]
    return max(fitting, key=lambda size: float(psnr(clean, median_filter(noisy, size)).mean()))


Denoiser = Callable[[Tensor], Tensor]  # [N, C, S, S] in [-1, 1] -> the same
Methods = dict[str, tuple[str, Denoiser]]  # by name: what was chosen for the noise level, function


def baselines(pca: PrincipalComponents, clean: Tensor, noisy: Tensor) -> Methods:
    """The baselines for a noise level, chosen on training images and their noisy versions."""
    size = best_median_size(clean[:_MEDIAN_IMAGES], noisy[:_MEDIAN_IMAGES])
    count = pca.best_count(clean, noisy)
    return {
        "noisy": ("", lambda x: x),
        "median": (f"{size}x{size}", lambda x: median_filter(x, size)),
        "PCA": (f"{count}", lambda x: pca.project(x, count)),
    }
