"""Multi-scale structural similarity of pairs of images (Wang et al. 2003).

The mean over pairs of samples measures variety (Odena et al. 2017): it is high where samples look
alike. A number by itself says little; it is compared with that of the real images.
"""

import numpy as np
import torch
from torch import Tensor

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first
WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2  # for values in [0, 1]


def levels(size: int) -> int:
    """Scales whose side still holds the window: 3 at 64 pixels, all 5 from 176 on, at least 1."""
    return max(1, sum(size // 2**i >= WINDOW for i in range(len(WEIGHTS))))


def window(side: int) -> Tensor:
    """The matrix [side - 10, side] that averages along a line under a Gaussian window.

    Lines shorter than that have a window of their own length.
    """
    length = min(WINDOW, side)
    taps = np.exp(-((np.arange(length) - (length - 1) / 2) ** 2) / (2 * SIGMA**2))
    matrix = np.zeros((side - length + 1, side))
    for row in range(len(matrix)):
        matrix[row, row : row + length] = taps / taps.sum()
    return torch.from_numpy(matrix).float()


def terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Means of luminance x contrast-structure, and of contrast-structure alone: [N, C] each."""
    average = window(x.shape[-1]).to(x)

    def smooth(maps: Tensor) -> Tensor:
        return average @ maps @ average.T

    mean_x, mean_y = smooth(x), smooth(y)
    covariance = smooth(x * y) - mean_x * mean_y
    variances = smooth(x * x + y * y) - mean_x**2 - mean_y**2
    structure = (2 * covariance + C2) / (variances + C2)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return (luminance * structure).mean((2, 3)), structure.mean((2, 3))


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Similarity of images x[i] and y[i], [N, C, S, S] in [0, 1] -> [N], at most 1.

    Images that are too small for five scales have fewer, and the weights of these add up to 1:
    numbers of different sizes do not compare. Negative structure counts as 0.
    """
    scales = levels(x.shape[-1])
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    product = 1.0
    for scale, weight in enumerate(weights):
        whole, structure = terms(x, y)
        # Luminance is compared at the coarsest scale only.
        product = product * (whole if scale == scales - 1 else structure).clamp(min=0) ** weight
        if scale < scales - 1:
            x, y = (torch.nn.functional.avg_pool2d(images, 2) for images in (x, y))
    return product.mean(1)


def diversity(images: Tensor, together: int = 64) -> float:
    """Mean similarity of images 0 and 1, 2 and 3, ... of uint8 [N, C, S, S], N >= 2.

    Disjoint pairs, so that every pair is independent of the others.
    """
    pairs = len(images) // 2
    if not pairs:
        raise ValueError("similarity is of pairs, and there is one image at most")
    chunks = images[: 2 * pairs].split(2 * together)
    values = (ms_ssim(*(half.float() / 255 for half in (c[::2], c[1::2]))) for c in chunks)
    return float(torch.cat(list(values)).double().mean())
