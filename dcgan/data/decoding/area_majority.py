"""Resizing of index masks: each pixel takes the class that covers the largest part of it.

It weighs what lies to all sides of a pixel's centre alike, as the antialiased resize of the image
does. The nearest pixel does not: at half the size the centre lies on the corner of four pixels, and
whichever is taken shifts the mask by a quarter of a pixel against the image.
"""

from typing import NamedTuple

import numpy as np

_TIE = 2.0**-24  # areas are multiples of it, in pixels of the result: rounding decides no tie
_BLOCK = 2**18  # pieces, and areas of classes, that are counted at a time, about


class _Pieces(NamedTuple):
    """An axis cut at the edges of the pixels of both images, [P]."""

    source: np.ndarray
    target: np.ndarray
    length: np.ndarray
    """In pixels of the target."""


def resize_mask(
    mask: np.ndarray, box: tuple[float, float, float, float], rows: int, columns: int
) -> np.ndarray:
    """Resize the part `box` of a mask: uint8 [H, W] -> uint8 [rows, columns].

    The box is (left, top, right, bottom) in pixels, which need not be whole numbers; what lies
    outside of the mask has no weight. Of classes with equal parts of a pixel the lower one is
    taken, and IGNORED before any class.
    """
    left, top, right, bottom = box
    y, x = _cut(mask.shape[0], top, bottom, rows), _cut(mask.shape[1], left, right, columns)
    shifted = mask + np.uint8(1)  # IGNORED becomes 0
    classes = int(shifted.max()) + 1
    result = np.empty((rows, columns), np.uint8)
    pieces = len(y.length) * len(x.length) / rows
    step = max(1, int(_BLOCK / max(pieces, columns * classes)))  # rows at a time
    for first in range(0, rows, step):
        last = min(first + step, rows)
        used = slice(*np.searchsorted(y.target, [first, last]))
        cells = (y.target[used, None] - first) * columns + x.target
        bins = cells * classes + shifted[y.source[used]][:, x.source]
        weights = y.length[used, None] * x.length
        areas = np.bincount(bins.ravel(), weights.ravel(), (last - first) * columns * classes)
        areas = np.rint(areas / _TIE).reshape(last - first, columns, classes)
        result[first:last] = areas.argmax(2)
    return result - np.uint8(1)


def _cut(n: int, start: float, stop: float, size: int) -> _Pieces:
    """Cut the pixels 0 to n - 1 that lie from `start` to `stop`, which become `size` pixels."""
    first, last = max(0, int(start)), min(n, int(np.ceil(stop)))
    edges = np.arange(first, last + 1).clip(start, stop)
    edges = ((edges - start) * (size / (stop - start))).clip(0, size)
    cuts = np.union1d(edges, np.arange(size + 1))
    cuts = cuts[(cuts >= edges[0]) & (cuts <= edges[-1])]
    begins = cuts[:-1]
    source = first + np.searchsorted(edges, begins, "right") - 1
    return _Pieces(source, begins.astype(np.int64), np.diff(cuts))
