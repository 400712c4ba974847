"""Multi-scale structural similarity, MS-SSIM, of pairs of images (Wang et al. 2003).

Its mean over pairs of samples measures variety (Odena et al. 2017): high values mean that samples
look alike. The value is read beside that of the real images.
"""

import numpy as np
import torch
from torch import Tensor

from dcgan.evaluation.chunks import split_images
from dcgan.runtime.device import full_float32_precision

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first
_WINDOW_SIDE, _WINDOW_SIGMA = 11, 1.5  # in pixels
_C1, _C2 = 0.01**2, 0.03**2  # for values in [0, 1]


def _count_scales(size: int) -> int:
    """Number of scales that are as large as the window: 3 at 64 pixels, 5 from 176, at least 1."""
    return max(1, sum(size // 2**i >= _WINDOW_SIDE for i in range(len(_WEIGHTS))))


def _window_matrix(side: int) -> Tensor:
    """The matrix [side - 10, side] that averages along a row with a Gaussian window.

    Where a row is shorter than the window, the window is as short as the row.
    """
    length = min(_WINDOW_SIDE, side)
    taps = np.exp(-((np.arange(length) - (length - 1) / 2) ** 2) / (2 * _WINDOW_SIGMA**2))
    matrix = np.zeros((side - length + 1, side))
    for row in range(len(matrix)):
        matrix[row, row : row + length] = taps / taps.sum()
    return torch.from_numpy(matrix).float()


def _ssim_terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Means of luminance x contrast-structure, and of contrast-structure alone: [N, C] each."""
    average = _window_matrix(x.shape[-1]).to(x)

    def smooth(maps: Tensor) -> Tensor:
        return average @ maps @ average.T

    mean_x, mean_y = smooth(x), smooth(y)
    covariance = smooth(x * y) - mean_x * mean_y
    variances = smooth(x * x + y * y) - mean_x**2 - mean_y**2
    structure = (2 * covariance + _C2) / (variances + _C2)
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return (luminance * structure).mean((2, 3)), structure.mean((2, 3))


@full_float32_precision()
def multiscale_ssim(x: Tensor, y: Tensor) -> Tensor:
    """MS-SSIM of images x[i] and y[i], [N, C, S, S] in [0, 1] -> [N] in [0, 1]; 1 if equal.

    Wang et al. 2003, equation 7. Images below 176 pixels have fewer than five scales, whose weights
    are scaled to sum 1, so values of different image sizes cannot be compared. Negative structure
    counts as 0.
    """
    scales = _count_scales(x.shape[-1])
    weights = np.array(_WEIGHTS[:scales]) / sum(_WEIGHTS[:scales])
    product = torch.ones_like(x[:, :, 0, 0])
    for scale, weight in enumerate(weights):
        whole, structure = _ssim_terms(x, y)
        # Luminance counts at the coarsest scale only.
        product = product * (whole if scale == scales - 1 else structure).clamp(min=0) ** weight
        if scale < scales - 1:
            x, y = (torch.nn.functional.avg_pool2d(images, 2) for images in (x, y))
    return product.mean(1)


class PairSimilarities:
    """MS-SSIM of the disjoint pairs (0, 1), (2, 3), ... of images that come in chunks."""

    def __init__(self) -> None:
        self._values: list[Tensor] = []
        self._unpaired: list[Tensor] = []  # one image [1, C, S, S] after an odd number of images

    def add(self, images: Tensor) -> None:
        """Take in the next images, uint8 [n, C, S, S]."""
        for chunk in split_images(images):
            chunk = torch.cat([*self._unpaired, chunk])
            pairs = len(chunk) // 2
            self._unpaired = [chunk[2 * pairs :]]
            if pairs:
                x, y = (chunk[i : 2 * pairs : 2].float() / 255 for i in (0, 1))
                self._values.append(multiscale_ssim(x, y).cpu())

    def mean(self) -> float:
        """Mean over the pairs, in [0, 1]. Raises ValueError if there are none."""
        if not self._values:
            raise ValueError("MS-SSIM needs pairs of images: 2 or more")
        return float(torch.cat(self._values).double().mean())


def mean_pair_similarity(images: Tensor) -> float:
    """Mean MS-SSIM of the disjoint pairs of images (0, 1), (2, 3), ...; uint8 [N, C, S, S].

    In [0, 1]; higher means less variety. Raises ValueError for fewer than two images.
    """
    similarities = PairSimilarities()
    similarities.add(images)
    return similarities.mean()
