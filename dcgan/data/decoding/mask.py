"""Decoding of one PNG of class numbers to a square mask, with the geometry of its image."""

import io
from typing import BinaryIO

import numpy as np
from PIL import Image

from dcgan.config import FitName
from dcgan.data.decoding.area_majority import resize_mask
from dcgan.data.decoding.opening import BadImage, check_size, describe_error, open_image
from dcgan.data.decoding.orientation import read_orientation
from dcgan.data.decoding.placement import place
from dcgan.data.packed_files import IGNORED

MAX_CLASSES = IGNORED  # 0 to 254

# Pillow spreads grey of 2 and 4 bits over 0 to 255; the class numbers are as they are stored.
_SPREAD = {"L;2": 85, "L;4": 17}


def decode_mask(
    file: BinaryIO,
    image_size: tuple[int, int],
    size: int,
    crop: int | None,
    fit: FitName,
    classes: int = MAX_CLASSES,
) -> np.ndarray:
    """Decode the mask of an image that is `image_size` (width, height) when upright: uint8
    [size, size], class numbers below `classes` or IGNORED.

    The mask has exactly the crop and the placement of its image; bars beside it are IGNORED. A
    palette gives its indices. Raises BadImage for files that are damaged, no PNG of one channel of
    up to 8 bits, not of the size of the image, or have values from `classes` to 254.
    """
    try:
        if not file.seek(0, io.SEEK_END):
            raise BadImage("empty file")
        with open_image(file) as image:
            check_size(*image.size, None)
            mask = _read_numbers(image)
    except BadImage:
        raise
    # On damaged files Pillow's parsers raise nearly every exception there is.
    except Exception as error:
        raise BadImage(describe_error(error)) from error
    height, width = mask.shape
    if (width, height) != image_size:
        raise BadImage(
            f"{width} x {height} pixels, and the upright image {image_size[0]} x {image_size[1]}"
        )
    if undeclared := mask[(mask >= classes) & (mask != IGNORED)].max(initial=0):
        raise BadImage(f"it has the value {undeclared}, and the classes are 0 to {classes - 1}")
    placement = place(width, height, size, crop, fit)
    filled = resize_mask(mask, placement.box, placement.height, placement.width)
    square = np.full((size, size), IGNORED, np.uint8)
    rows = slice(placement.top, placement.top + placement.height)
    square[rows, placement.left : placement.left + placement.width] = filled
    return square


def _read_numbers(image: Image.Image) -> np.ndarray:
    """The class numbers of an opened PNG, upright: uint8 [H, W]. Raises BadImage for others."""
    if image.format != "PNG":
        raise BadImage(f"{image.format}, not a PNG: save class numbers as a palette or grey PNG")
    if image.mode.startswith("I"):
        raise BadImage("16 bits a pixel: save class numbers as a PNG of 8 bits, 255 for ignored")
    if image.mode == "LA":
        raise BadImage("grey with an alpha channel: save class numbers without one")
    if image.mode not in ("P", "L", "1"):
        raise BadImage(
            f"a colour picture ({image.mode}): save the class number of each pixel as a palette or "
            "grey PNG"
        )
    # Known before loading only.
    stored = image.tile[0][3] if getattr(image, "tile", None) else None  # type: ignore[attr-defined]
    image.load()
    mask = np.asarray(image).astype(np.uint8)
    mask //= _SPREAD.get(str(stored), 1)
    return read_orientation(image).turn(mask)
