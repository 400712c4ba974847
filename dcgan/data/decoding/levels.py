"""Pixels of more than 8 bits: which of their values become black and white."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from dcgan.config import Levels

_FULL_RANGE = (0.0, 65535.0)


class Depth(NamedTuple):
    """What the header of an image says about pixels of more than 8 bits."""

    grey: bool
    """Pillow keeps all their bits."""
    colour: bool
    """Pillow keeps their high bytes only; this is so with transparency too."""
    declared: float | None
    """The value that a PGM declares as white, which Pillow turns into 65,535."""


def read_depth(image: Image.Image) -> Depth:
    """The depth of an image that has been opened and not loaded yet."""
    grey = image.mode.startswith("I;16") or image.mode in ("I", "F")
    tiles: list[Any] = getattr(image, "tile", [])  # an image of an array has none
    decoder, *_, arguments = tiles[0] if tiles else ("", None)
    mode, *rest = arguments if isinstance(arguments, tuple) else (arguments,)
    maximum = float(rest[0]) if image.format == "PPM" and decoder != "raw" and rest else None
    colour = not grey and (";16" in str(mode) or (maximum or 0) > 255)
    return Depth(grey, colour, maximum if grey else None)


def choose_range(
    levels: Levels, mode: str, declared: float | None, extremes: tuple[float, float]
) -> tuple[float, float]:
    """The values that become black and white in an image of a mode with more than 8 bits, whose
    least and greatest value are `extremes`.

    Raises ValueError for "full" where the pixels have no defined range.
    """
    if levels == "full":
        if mode in ("I", "F"):  # writers fill 8, 16 or all bits
            raise ValueError(
                "signed or 32-bit pixels have no defined range: give them one with --levels"
            )
        return _FULL_RANGE
    if levels == "file":
        return extremes
    stretch = _FULL_RANGE[1] / declared if declared else 1
    return levels[0] * stretch, levels[1] * stretch


def to_bytes(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values as uint8: 0 up to `low`, 255 from `high`, 256 equal steps between; NaN becomes 0.

    For the full range these are the high bytes.
    """
    if values.dtype.kind == "u":
        return _table(low, high)[values]
    with np.errstate(invalid="ignore", over="ignore"):
        steps = (values.astype(np.float64) - low) * 256 / ((high - low) or 1)
    return np.nan_to_num(steps, nan=0).clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=4)
def _table(low: float, high: float) -> np.ndarray:
    return to_bytes(np.arange(2**16), low, high)
