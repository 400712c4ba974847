"""Colours of classes, and masks as PNG files with a palette."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from dcgan.data import IGNORED
from dcgan.runtime.atomic_files import replace_atomically

_WHITE = 255


def class_colours() -> np.ndarray:
    """The colours of the classes in the masks of PASCAL VOC: uint8 [256, 3].

    The bits of a class, from the lowest, go to red, green and blue in turn, into their bits from
    the highest: class 1 has red 128, class 2 green 128, class 8 red 64.
    """
    index = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            taken = index >> (3 * bit + channel) & 1
            colours[:, channel] |= (taken << (7 - bit)).astype(np.uint8)
    return colours


def colour_mask(mask: np.ndarray) -> np.ndarray:
    """Classes uint8 [..., H, W] in their colours, ignored pixels white: uint8 [..., H, W, 3]."""
    colours = class_colours()
    colours[IGNORED] = _WHITE
    return colours[mask]


def save_mask(path: Path, mask: np.ndarray) -> None:
    """Write classes uint8 [H, W] as a PNG with a palette, as those of VOC are.

    Raises UserError if writing fails.
    """
    picture = Image.fromarray(mask, "L")
    picture.putpalette(class_colours().tobytes())
    content = io.BytesIO()
    picture.save(content, format="PNG")
    with replace_atomically(path, durable=False) as partial:
        partial.write_bytes(content.getvalue())
