"""EXIF orientation: how a stored image is turned upright."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

_TAG = 0x0112


class Orientation(NamedTuple):
    """The turn of stored pixels [H, W, ...] that makes them upright."""

    turn: Callable[[np.ndarray], np.ndarray]
    reverses_x: bool
    reverses_y: bool
    swaps: bool = False
    """Whether width and height change places."""

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the upright image."""
        return (height, width) if self.swaps else (width, height)


_STORED_UPRIGHT = Orientation(lambda a: a, False, False)
_BY_TAG = {
    2: Orientation(lambda a: a[:, ::-1], True, False),
    3: Orientation(lambda a: a[::-1, ::-1], True, True),
    4: Orientation(lambda a: a[::-1], False, True),
    5: Orientation(lambda a: a.swapaxes(0, 1), False, False, True),
    6: Orientation(lambda a: np.rot90(a, -1), False, True, True),
    7: Orientation(lambda a: np.rot90(a.swapaxes(0, 1), 2), True, True, True),
    8: Orientation(lambda a: np.rot90(a, 1), True, False, True),
}


def read_orientation(image: Image.Image) -> Orientation:
    """The orientation of an image that has been loaded; upright if it has none that is known."""
    try:
        return _BY_TAG.get(image.getexif().get(_TAG, 1), _STORED_UPRIGHT)
    # Damaged EXIF is no reason to lose an image that decodes.
    except Exception:
        return _STORED_UPRIGHT
