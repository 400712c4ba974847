"""Opening of image files with Pillow; those that would take minutes or gigabytes are refused."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image

from dcgan.data.decoding import jpeg
from dcgan.data.decoding.png import drop_long_metadata
from dcgan.runtime.downloads import HEAD_BYTES, wrong_download

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


class BadImage(Exception):
    """This image cannot be read; `reason` says why in one short line."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


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
            raise BadImage(_describe_unread(file.read(HEAD_BYTES))) from None
        with opened as image:
            if image.format in ("JPEG", "MPO"):
                file.seek(0)
                check_scans(file.read(), *image.size)
            if image.format == "PPM":
                _check_pnm(image)
            yield image


def _describe_unread(head: bytes) -> str:
    """What a file is that Pillow does not open, and that begins with `head`."""
    if wrong := wrong_download(head):
        return f"{wrong[0]}, not an image"
    if unread := _UNREAD_BRANDS.get(head[4:11]):
        return f"{unread}, not read here: convert it to PNG or JPEG"
    if head.startswith(_PNG_OR_JPEG):
        return "damaged: its header cannot be read"
    return f"not an image ({', '.join(_FORMATS)})"


def check_size(width: int, height: int, crop: int | None) -> None:
    """Raise BadImage if an image is too large, or smaller than the crop."""
    if width * height > _MAX_PIXELS:
        raise BadImage(f"{width} x {height} pixels: more than {_MAX_PIXELS:,}")
    if crop and crop > min(width, height):
        raise BadImage(f"{width} x {height} pixels: less than the crop of {crop}")


def check_scans(data: bytes, width: int, height: int) -> None:
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


def describe_error(error: Exception) -> str:
    """The reason for BadImage: one line of at most 120 characters."""
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {_MAX_PIXELS:,} pixels"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= 120 else lines[0][:117] + "..."
