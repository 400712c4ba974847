"""Which part of a picture goes where in the square training image."""

import math
from typing import NamedTuple

from dcgan.config import FitName


class Placement(NamedTuple):
    """A part of a picture, and the part of the square that it fills; the rest stays black."""

    box: tuple[float, float, float, float]
    """Left, top, right and bottom in pixels of the picture; with bars, up to half a pixel of the
    square outside of it."""
    left: int
    top: int
    width: int
    height: int


def place(
    width: int,
    height: int,
    size: int,
    crop: int | None,
    fit: FitName,
    reverses_x: bool = False,
    reverses_y: bool = False,
) -> Placement:
    """The placement of a picture of width x height pixels in a square of `size` pixels.

    crop: the centre square, of `crop` pixels or the whole shorter side; pad: everything, in its
    proportions; squeeze: everything, as a square. `reverses_x` and `reverses_y` say which axes are
    reversed afterwards, to turn the picture upright.
    """
    if fit == "squeeze":
        return Placement((0, 0, width, height), 0, 0, size, size)
    # An odd margin has its larger half on the right and at the bottom of the upright image.
    if fit == "pad":
        longer = max(width, height)
        columns, rows = (-(-side * size // longer) for side in (width, height))
        x, y = (columns * longer / size - width) / 2, (rows * longer / size - height) / 2
        left, top = (size - columns + reverses_x) // 2, (size - rows + reverses_y) // 2
        return Placement((-x, -y, width + x, height + y), left, top, columns, rows)
    side = crop or min(width, height)
    left, top = (width - side + reverses_x) // 2, (height - side + reverses_y) // 2
    return Placement((left, top, left + side, top + side), 0, 0, size, size)


def choose_reduction(placement: Placement, width: int, height: int) -> int:
    """The factor by which a JPEG of width x height pixels may be reduced in decoding.

    It decodes faster at 1/2, 1/4 or 1/8 of its size, and loses frequencies that the resize would
    remove anyway. If at least 4/3 of the final resolution remain, the result is closer to Lanczos
    of all pixels in double precision than that of a full decode with torchvision's antialiased
    bilinear resize.
    """
    left, top, right, bottom = placement.box
    for scale in (8, 4, 2):
        across = 3 * (right - left) >= 4 * scale * placement.width
        down = 3 * (bottom - top) >= 4 * scale * placement.height
        if across and down and min(width, height) >= scale:
            return scale
    return 1


def bounds_of(
    box: tuple[float, float, float, float], width: int, height: int, scale: int
) -> tuple[tuple[int, int, int, int], tuple[float, float, float, float]]:
    """Bounds (left, top, right, bottom) of a box in pixels of an image decoded at 1/scale, and the
    box relative to the first two.

    Cropping to the bounds before the resize keeps pixels beside the box out of its edges.
    """
    left, top, right, bottom = (edge / scale for edge in box)
    x, y = max(0, int(left)), max(0, int(top))
    x_end, y_end = math.ceil(min(right, width / scale)), math.ceil(min(bottom, height / scale))
    return (x, y, x_end, y_end), (left - x, top - y, right - x, bottom - y)
