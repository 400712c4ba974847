"""Decoding of one image file: open, crop, resize, turn upright."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import BinaryIO

import numpy as np
from PIL import Image

from dcgan.data.decoding import jpeg
from dcgan.data.decoding.conversion import Conversion
from dcgan.data.decoding.levels import read_depth
from dcgan.data.decoding.modes import convert_part
from dcgan.data.decoding.opening import (
    BadImage,
    check_scans,
    check_size,
    describe_error,
    open_image,
)
from dcgan.data.decoding.orientation import read_orientation
from dcgan.data.decoding.placement import Placement, bounds_of, choose_reduction, place
from dcgan.data.decoding.resampling import resample

# Increase it when the same file gives other pixels than before, so that it is packed again.
DECODING_VERSION = 5

# Larger files are read in parts as they are decoded, because hostile ones may be endless.
_MAX_BYTES_AT_ONCE = 2**22


def decode(
    file: BinaryIO | bytes,
    size: int,
    channels: int,
    crop: int | None,
    conversion: Conversion | None = None,
) -> np.ndarray:
    """Decode, crop the centre, resize, turn upright: uint8 [size, size, channels] in 0..255.

    The crop is a square of `crop` source pixels, by default the whole shorter side; `conversion`
    may keep everything instead, gives deep pixels a range, and counts what is lost. The resize is
    antialiased Lanczos. One channel is ITU-R 601 luma. Transparency is composited on white, 16-bit
    samples keep their high byte, and an animation gives its first frame. Raises BadImage for files
    that are damaged, no image, or smaller than the crop, and for 32-bit samples without a range.
    """
    return decode_sized(file, size, channels, crop, conversion)[0]


def decode_sized(
    file: BinaryIO | bytes,
    size: int,
    channels: int,
    crop: int | None,
    conversion: Conversion | None = None,
) -> tuple[np.ndarray, tuple[int, int]]:
    """As `decode`, and the width and height of the whole upright image."""
    conversion = conversion or Conversion()
    try:
        file = io.BytesIO(file) if isinstance(file, bytes) else file
        length = file.seek(0, io.SEEK_END)
        if not length:
            raise BadImage("empty file")
        file.seek(0)
        if length <= _MAX_BYTES_AT_ONCE:
            data = file.read()
            decoded = _decode_plain_jpeg(data, size, channels, crop, conversion)
            if decoded is not None:
                return decoded
            file = io.BytesIO(data)
        with (
            open_image(file) as image,
            _silence_stderr() if image.format == "TIFF" else nullcontext(),
        ):
            return _crop_and_resize(image, size, channels, crop, conversion)
    except BadImage:
        raise
    # On damaged files Pillow's parsers raise nearly every exception there is.
    except Exception as error:
        raise BadImage(describe_error(error)) from error


def _decode_plain_jpeg(
    data: bytes, size: int, channels: int, crop: int | None, conversion: Conversion
) -> tuple[np.ndarray, tuple[int, int]] | None:
    """The same as from `_crop_and_resize`, faster; None unless it is a plain, intact JPEG."""
    if (found := jpeg.read_size(data)) is None:
        return None
    try:
        check_size(*found, crop)
        check_scans(data, *found)
    except BadImage:
        return None
    placement = place(*found, size, crop, conversion.fit)
    scale = choose_reduction(placement, *found)
    pixels = jpeg.decode_pixels(data, *found, scale, channels)
    if pixels is None:
        return None
    (x, y, x_end, y_end), box = bounds_of(placement.box, *found, scale)
    conversion.count_placement(*found, crop)
    return _fill_square(pixels[y:y_end, x:x_end], box, placement, size), found


def crop_and_resize(
    image: Image.Image, size: int, channels: int, crop: int | None, conversion: Conversion
) -> np.ndarray:
    """Crop, resize and turn upright an opened image: uint8 [size, size, channels].

    See `decode`. Raises BadImage, or any error of Pillow's for a damaged file.
    """
    return _crop_and_resize(image, size, channels, crop, conversion)[0]


def _crop_and_resize(
    image: Image.Image, size: int, channels: int, crop: int | None, conversion: Conversion
) -> tuple[np.ndarray, tuple[int, int]]:
    """As `crop_and_resize`, and the width and height of the whole upright image."""
    mode = "L" if channels == 1 else "RGB"
    width, height = image.size
    check_size(width, height, crop)
    placement = place(width, height, size, crop, conversion.fit)
    scale = choose_reduction(placement, width, height)
    # Chroma subsampled along one axis only would be reduced too far along that axis.
    if any(h != v for _, h, v, _ in getattr(image, "layer", ())):
        scale = 1
    depth = read_depth(image)
    drafted = image.draft(mode, (width // scale, height // scale))
    scale = scale if drafted else 1
    image = _loaded(image)
    upright = read_orientation(image)
    placement = place(
        width, height, size, crop, conversion.fit, upright.reverses_x, upright.reverses_y
    )
    bounds, box = bounds_of(placement.box, width, height, scale)
    pixels = convert_part(image, bounds, mode, conversion.choose_range(image, depth))
    conversion.count_placement(width, height, crop)
    square = _fill_square(pixels, box, placement, size)
    return upright.turn(square), upright.size(width, height)


def decode_whole(file: BinaryIO, channels: int) -> np.ndarray:
    """Decode all of an image in its own size and turn it upright: uint8 [H, W, channels].

    Pixels become grey or colour as in `decode`. Raises BadImage for files that are damaged or no
    image.
    """
    mode = "L" if channels == 1 else "RGB"
    try:
        with (
            open_image(file) as image,
            _silence_stderr() if image.format == "TIFF" else nullcontext(),
        ):
            check_size(*image.size, None)
            depth = read_depth(image)
            loaded = _loaded(image)
            levels = Conversion().choose_range(loaded, depth)
            pixels = convert_part(loaded, (0, 0, *loaded.size), mode, levels)
            return np.ascontiguousarray(read_orientation(loaded).turn(pixels))
    except BadImage:
        raise
    # As in `decode`.
    except Exception as error:
        raise BadImage(describe_error(error)) from error


def _loaded(image: Image.Image) -> Image.Image:
    """An opened image with its pixels."""
    image.load()
    if image.format == "PPM" and image.mode == "I":  # Pillow's mode for a PGM of 16 bits
        return image.convert("I;16")
    return image


def _fill_square(
    pixels: np.ndarray,
    box: tuple[float, float, float, float],
    placement: Placement,
    size: int,
) -> np.ndarray:
    """The part `box` of some pixels, resized, in its place in a square: uint8 [size, size, C]."""
    filled = resample(pixels, box, placement.height, placement.width)
    if filled.shape[:2] == (size, size):
        return filled
    square = np.zeros((size, size, pixels.shape[2]), np.uint8)
    rows = slice(placement.top, placement.top + placement.height)
    square[rows, placement.left : placement.left + placement.width] = filled
    return square


@contextmanager
def _silence_stderr() -> Iterator[None]:
    """Discard stderr in the block: libtiff prints what Pillow raises too, without the file name."""
    try:
        stderr = os.dup(2)
    except OSError:  # it has been closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
