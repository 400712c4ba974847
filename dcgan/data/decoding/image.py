"""Decoding of one image file: open, check its limits, crop, resize, turn upright."""

import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import BinaryIO

import numpy as np
from PIL import Image

from dcgan.data.decoding import jpeg
from dcgan.data.decoding.conversion import Conversion
from dcgan.data.decoding.levels import read_depth
from dcgan.data.decoding.modes import convert_part
from dcgan.data.decoding.placement import Placement, bounds_of, choose_reduction, place
from dcgan.data.decoding.png import drop_long_metadata
from dcgan.data.decoding.resampling import resample
from dcgan.runtime.downloads import HEAD_BYTES, wrong_download

# Increase it when the same file gives other pixels than before, so that it is packed again.
DECODING_VERSION = 5

# The formats of training sets. Pillow's others (PSD, EPS, ...) are refused: each is one more parser
# that hostile files could attack.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")

# Telephones and browsers save these under the names of others too.
_UNREAD_BRANDS = {b"ftyphei": "HEIC", b"ftypmif": "HEIC", b"ftypavi": "AVIF"}
_PNG_OR_JPEG = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")

# A file of 2 KB may declare 10 gigapixels. 134 megapixels is as much as the largest cameras take
# in one exposure, and half a gigabyte as RGBA.
_MAX_PIXELS = 2**27
_MAX_FILE_BYTES = 4 * _MAX_PIXELS

# A progressive JPEG decodes all its pixels once per scan, and a scan may have 20 bytes. 10 scans
# are usual.
_MAX_SCANNED_PIXELS = 16 * _MAX_PIXELS

# Pillow decodes a PNM of text, or of another maximum than 255 or 16-bit grey, number by number in
# Python: a million in a second.
_MAX_PNM_NUMBERS = 2**25

# Pillow makes one or more Python objects of each number in a TIFF tag.
_MAX_TAG_NUMBERS = 2**18
_BYTE_TAG_TYPES = (1, 2, 7)  # tags that Pillow keeps as bytes

# Larger files are read in parts as they are decoded, because hostile ones may be endless.
_MAX_BYTES_AT_ONCE = 2**22

_ORIENTATION_TAG = 0x0112
# EXIF orientation: function that turns the stored image upright, and whether it reverses x and y.
_UPRIGHT = {
    2: (lambda a: a[:, ::-1], True, False),
    3: (lambda a: a[::-1, ::-1], True, True),
    4: (lambda a: a[::-1], False, True),
    5: (lambda a: a.swapaxes(0, 1), False, False),
    6: (lambda a: np.rot90(a, -1), False, True),
    7: (lambda a: np.rot90(a.swapaxes(0, 1), 2), True, True),
    8: (lambda a: np.rot90(a, 1), True, False),
}


class BadImage(Exception):
    """This image cannot be read; `reason` says why in one short line."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


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
    conversion = conversion or Conversion()
    try:
        file = io.BytesIO(file) if isinstance(file, bytes) else file
        length = file.seek(0, io.SEEK_END)
        if not length:
            raise BadImage("empty file")
        file.seek(0)
        if length <= _MAX_BYTES_AT_ONCE:
            data = file.read()
            square = _decode_plain_jpeg(data, size, channels, crop, conversion)
            if square is not None:
                return square
            file = io.BytesIO(data)
        with (
            open_image(file) as image,
            _silence_stderr() if image.format == "TIFF" else nullcontext(),
        ):
            return crop_and_resize(image, size, channels, crop, conversion)
    except BadImage:
        raise
    # On damaged files Pillow's parsers raise nearly every exception there is.
    except Exception as error:
        raise BadImage(_reason(error)) from error


@contextmanager
def open_image(file: BinaryIO) -> Iterator[Image.Image]:
    """Open a file with Pillow, which reads its header.

    Raises BadImage for a file that would take minutes or gigabytes to decode, or any error of
    Pillow's for a damaged one.
    """
    length = file.seek(0, io.SEEK_END)
    if length > _MAX_FILE_BYTES:
        raise BadImage(f"{length:,} bytes, more than {_MAX_FILE_BYTES:,}")
    _check_tiff_tags(file)
    file = drop_long_metadata(file)
    # Pillow warns of damaged metadata and of large images; this module has its own limits.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            opened = Image.open(file, formats=_FORMATS)
        except Image.UnidentifiedImageError:
            file.seek(0)
            head = file.read(HEAD_BYTES)
            if wrong := wrong_download(head):
                raise BadImage(f"{wrong[0]}, not an image") from None
            if unread := _UNREAD_BRANDS.get(head[4:11]):
                raise BadImage(f"{unread}, not read here: convert it to PNG or JPEG") from None
            if head.startswith(_PNG_OR_JPEG):
                raise BadImage("damaged: its header cannot be read") from None
            raise
        with opened as image:
            if image.format in ("JPEG", "MPO"):
                file.seek(0)
                _check_scans(file.read(), *image.size)
            if image.format == "PPM":
                _check_pnm(image)
            yield image


def _decode_plain_jpeg(
    data: bytes, size: int, channels: int, crop: int | None, conversion: Conversion
) -> np.ndarray | None:
    """The same pixels as from `crop_and_resize`, faster; None unless it is a plain, intact JPEG."""
    if (found := jpeg.read_size(data)) is None:
        return None
    try:
        _check_size(*found, crop)
        _check_scans(data, *found)
    except BadImage:
        return None
    placement = place(*found, size, crop, conversion.fit)
    scale = choose_reduction(placement, *found)
    pixels = jpeg.decode_pixels(data, *found, scale, channels)
    if pixels is None:
        return None
    (x, y, x_end, y_end), box = bounds_of(placement.box, *found, scale)
    conversion.count_placement(*found, crop)
    return _fill_square(pixels[y:y_end, x:x_end], box, placement, size)


def crop_and_resize(
    image: Image.Image, size: int, channels: int, crop: int | None, conversion: Conversion
) -> np.ndarray:
    """Crop, resize and turn upright an opened image: uint8 [size, size, channels].

    See `decode`. Raises BadImage, or any error of Pillow's for a damaged file.
    """
    mode = "L" if channels == 1 else "RGB"
    width, height = image.size
    _check_size(width, height, crop)
    placement = place(width, height, size, crop, conversion.fit)
    scale = choose_reduction(placement, width, height)
    # Chroma subsampled along one axis only would be reduced too far along that axis.
    if any(h != v for _, h, v, _ in getattr(image, "layer", ())):
        scale = 1
    depth = read_depth(image)
    drafted = image.draft(mode, (width // scale, height // scale))
    scale = scale if drafted else 1
    image.load()
    if image.format == "PPM" and image.mode == "I":  # Pillow's mode for a PGM of 16 bits
        image = image.convert("I;16")

    transpose, *reverses = _UPRIGHT.get(_orientation(image), (None, False, False))
    placement = place(width, height, size, crop, conversion.fit, *reverses)
    bounds, box = bounds_of(placement.box, width, height, scale)
    pixels = convert_part(image, bounds, mode, conversion.choose_range(image, depth))
    conversion.count_placement(width, height, crop)
    square = _fill_square(pixels, box, placement, size)
    return square if transpose is None else transpose(square)


def _check_size(width: int, height: int, crop: int | None) -> None:
    """Raise BadImage if an image is too large, or smaller than the crop."""
    if width * height > _MAX_PIXELS:
        raise BadImage(f"{width} x {height} pixels: more than {_MAX_PIXELS:,}")
    if crop and crop > min(width, height):
        raise BadImage(f"{width} x {height} pixels: less than the crop of {crop}")


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


def _check_scans(data: bytes, width: int, height: int) -> None:
    """Raise BadImage for a JPEG with so many scans that decoding would take minutes."""
    if width * height * jpeg.count_scans(data) > _MAX_SCANNED_PIXELS:
        raise BadImage(f"{jpeg.count_scans(data):,} scans of {width} x {height} pixels")


def _check_pnm(image: Image.Image) -> None:
    """Raise BadImage for a PPM, PGM or PBM that would take minutes to decode."""
    numbers = image.width * image.height * len(image.getbands())
    decoder = image.tile[0][0]  # type: ignore[attr-defined]
    if decoder != "raw" and numbers > _MAX_PNM_NUMBERS:
        raise BadImage(f"a PNM of {numbers:,} numbers that are not bytes: convert it to PNG")


def _check_tiff_tags(file: BinaryIO) -> None:
    """Raise BadImage for a TIFF with a tag so long that reading it would take gigabytes."""
    file.seek(0)
    head = file.read(16).ljust(16, b"\0")
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order and 42 in head[2:4]:
        first, count, entry = (struct.Struct(order + rest) for rest in ("4xI", "H", "2xHI4x"))
    elif order and 43 in head[2:4]:
        first, count, entry = (struct.Struct(order + rest) for rest in ("8xQ", "Q", "2xHQ8x"))
    else:
        return
    file.seek(*first.unpack_from(head))
    (tags,) = count.unpack(file.read(count.size).ljust(count.size, b"\0"))
    content = file.read(entry.size * min(tags, 2**16))
    for kind, numbers in entry.iter_unpack(content[: len(content) // entry.size * entry.size]):
        if numbers > _MAX_TAG_NUMBERS and kind not in _BYTE_TAG_TYPES:
            raise BadImage(f"a TIFF tag of {numbers:,} numbers")


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


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION_TAG, 1)
    # Damaged EXIF is no reason to lose an image that decodes.
    except Exception:
        return 1


def _reason(error: Exception) -> str:
    """The reason for BadImage: one line of at most 120 characters."""
    if isinstance(error, Image.UnidentifiedImageError):
        return f"not an image ({', '.join(_FORMATS)})"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {_MAX_PIXELS:,} pixels"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= 120 else lines[0][:117] + "..."
