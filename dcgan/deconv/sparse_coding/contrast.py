"""Local contrast normalisation, and its inverse (the N layer of Jarrett et al. 2009)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.config.sparse import SparseConfig
from dcgan.deconv.sparse_coding.checks import check_images, check_positive

_WINDOW_SIGMAS = 1.3  # 13 pixels for a standard deviation of 5
_FLOOR = 1 / 127.5  # one of 255 levels: what is flatter is not amplified


@dataclass(frozen=True, eq=False)
class Contrast:
    """Images without their local mean, divided by their local standard deviation."""

    normalized: Tensor
    """[N, C, H, W], about 0 with variance of about 1."""
    mean: Tensor
    """[N, C, H, W]."""
    deviation: Tensor
    """[N, 1, H, W], above 0."""

    def restore(self, normalized: Tensor) -> Tensor:
        """Images of the range of the original ones: normalized * deviation + mean."""
        return normalized * self.deviation + self.mean


@torch.no_grad()
def normalize_contrast(images: Tensor, sigma: float = SparseConfig.sigma) -> Contrast:
    """Normalise images [N, C, H, W] in [-1, 1] by a Gaussian window of deviation `sigma` pixels.

    The mean is that of each channel, and the deviation that of all channels of what is left. Where
    the deviation is smaller than its mean over the image, that mean is divided by. At the borders,
    the window is the part of it that lies in the image. Raises UsageError for a sigma that is not
    above 0.
    """
    images = check_images(images)
    check_positive("sigma", sigma)
    kernel = _gaussian(sigma, max(images.shape[2:])).to(images)
    mean = _blur(images, kernel)
    centred = images - mean
    deviation = _blur(centred.square().mean(1, keepdim=True), kernel).clamp(min=0).sqrt()
    typical = deviation.mean((2, 3), keepdim=True)
    deviation = torch.maximum(deviation, typical).clamp(min=_FLOOR)
    return Contrast(centred / deviation, mean, deviation)


def _gaussian(sigma: float, side: int) -> Tensor:
    """A window, [2 radius + 1], which does not reach farther than an image of this side."""
    radius = max(1, int(min(_WINDOW_SIGMAS * sigma, side)))
    places = torch.arange(-radius, radius + 1, dtype=torch.float64)
    return torch.exp(-places.square() / (2 * sigma**2))


def _blur(x: Tensor, kernel: Tensor) -> Tensor:
    """The weighted mean of the window around each position: [N, C, H, W] -> the same."""
    for row in (kernel.view(1, 1, -1, 1), kernel.view(1, 1, 1, -1)):
        cut = [side // 2 for side in row.shape[2:]]
        planes = x.flatten(0, 1)[:, None]
        weights = F.conv2d(torch.ones_like(planes[:1]), row, padding=cut)
        x = (F.conv2d(planes, row, padding=cut) / weights).view_as(x)
    return x
