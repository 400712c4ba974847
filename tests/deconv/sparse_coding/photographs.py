"""Crops of the photographs that come with scikit-image, for the tests beside this file."""

import numpy as np
import torch
from skimage import color, data
from torch import Tensor

_NAMES = ("camera", "astronaut", "coffee", "chelsea", "rocket")


def crops(count: int, size: int, seed: int = 0) -> Tensor:
    """Grey photographs at half their resolution, float32 [count, 1, size, size] in [-1, 1]."""
    rng = np.random.default_rng(seed)
    halves = []
    for name in _NAMES:
        photo = getattr(data, name)()
        grey = color.rgb2gray(photo) if photo.ndim == 3 else photo / 255
        height, width = (side // 2 * 2 for side in grey.shape)
        parts = grey[:height, :width].reshape(height // 2, 2, width // 2, 2)
        halves.append(parts.mean((1, 3)))
    chosen = []
    for i in range(count):
        photo = halves[i % len(halves)]
        y, x = (int(rng.integers(0, side - size + 1)) for side in photo.shape)
        chosen.append(photo[y : y + size, x : x + size])
    return torch.from_numpy(np.stack(chosen)[:, None] * 2 - 1).float()
