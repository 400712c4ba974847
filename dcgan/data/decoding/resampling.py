"""Antialiased Lanczos resampling as matrix products, with the same bytes on every machine.

Weights are multiples of 2^-14 and pixels whole numbers, so that float32 holds every product and
every sum of products exactly: neither the order of the additions nor the number of threads nor
fused instructions can change a bit of the result.
"""

from functools import lru_cache

import numpy as np

STEP = 2.0**-14  # between weights
LOBES = 3
BAND = 32  # Outputs of one product: few, since most inputs have no weight in outputs far away.
BLOCK = 2**18  # Inputs of one product, about: as many floats as stay in the cache.


def resample(pixels: np.ndarray, box: tuple[float, float, float, float], size: int) -> np.ndarray:
    """The part `box` of an image, as size x size: uint8 [H, W, C] -> uint8 [size, size, C].

    The box is (left, top, right, bottom) in pixels, not necessarily whole. What lies beside it
    has weight in the pixels at its edges.
    """
    left, top, right, bottom = box
    height, width, channels = pixels.shape
    rows = np.empty((size, width * channels), np.float32)
    for outputs, inputs, weights in bands(height, top, bottom, size):
        step = max(8, BLOCK // (channels * weights.shape[1]))
        for x in range(0, width, step):
            used = pixels[inputs, x : x + step].astype(np.float32, order="C")
            used = used.reshape(len(used), -1)
            columns = slice(x * channels, x * channels + used.shape[1])
            np.matmul(weights, used, out=rows[outputs, columns])
    np.rint(rows, out=rows)

    planes = rows.reshape(size, width, channels).swapaxes(1, 2).reshape(-1, width)
    square = np.empty((size * channels, size), np.float32)
    for outputs, inputs, weights in bands(width, left, right, size):
        np.matmul(planes[:, inputs], weights.T, out=square[:, outputs])
    np.rint(square, out=square).clip(0, 255, out=square)

    # A copy channel by channel takes a third of the time of one with the axes swapped.
    image = np.empty((size, size, channels), np.uint8)
    for channel in range(channels):
        image[..., channel] = square[channel::channels]
    return image


# The images of a data set mostly share one size, or their shorter side.
@lru_cache(maxsize=32)
def bands(n: int, start: float, stop: float, size: int) -> list[tuple[slice, slice, np.ndarray]]:
    """The matrix [size, n] that resamples n lines, as (outputs, inputs, what is not zero)."""
    scale = (stop - start) / size
    stretch = max(scale, 1.0)  # the kernel spans outputs or inputs, whichever are further apart
    found = []
    for first in range(0, size, BAND):
        last = min(first + BAND, size)
        centres = start + scale * (np.arange(first, last) + 0.5)
        low = max(0, int(centres[0] - LOBES * stretch))
        high = min(n, int(centres[-1] + LOBES * stretch) + 1)
        x = (np.arange(low, high) + 0.5 - centres[:, None]) / stretch
        weights = np.where(abs(x) < LOBES, np.sinc(x) * np.sinc(x / LOBES), 0)
        found.append((slice(first, last), slice(low, high), exact(weights)))
    return found


def exact(weights: np.ndarray) -> np.ndarray:
    """Rows of weights as float32 multiples of STEP, of which every row adds up to 1 exactly."""
    weights = np.rint(weights / weights.sum(1, keepdims=True) / STEP) * STEP
    weights[np.arange(len(weights)), weights.argmax(1)] += 1 - weights.sum(1)
    return weights.astype(np.float32)
