"""One image file -> one training image."""

import io
import math
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import BinaryIO

import numpy as np
from PIL import Image

from dcgan.data.decoding import jpeg
from dcgan.data.decoding.resampling import resample

# Raised when the same file gives other pixels than before: packed images are not shared across it.
DECODING_VERSION = 4

# The formats training sets come in. Pillow's others (PSD, EPS, ...) are left closed: each is one
# more parser for hostile bytes.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")

# A file of 2 KB may declare 10 gigapixels. 134 megapixels is as much as the largest cameras take
# in one exposure, and half a gigabyte as RGBA.
MAX_PIXELS = 2**27
MAX_FILE = 4 * MAX_PIXELS

# A progressive JPEG goes over all its pixels once per scan, for which 20 bytes are enough. Usual
# are 10 scans.
MAX_SCANNED = 16 * MAX_PIXELS

# Numbers in one tag of a TIFF, each an object to Pillow, or several where they are of strips.
MAX_NUMBERS = 2**18
BYTES = (1, 2, 7)  # types of tags that it leaves as they are

# Larger files are read as they are needed, since hostile ones have no end.
AT_ONCE = 2**22  # bytes
BAND = 2**22  # pixels that are converted at a time

# EXIF orientation -> how the stored picture is turned upright; whether that reverses its x, its y.
ORIENTATION_TAG = 0x0112
UPRIGHT = {
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


def decode(file: BinaryIO | bytes, size: int, channels: int, crop: int | None) -> np.ndarray:
    """Decode, crop the centre, resize, turn upright: uint8 [size, size, channels] in 0..255.

    The crop is a square of `crop` source pixels, by default the whole shorter side; the resize is
    antialiased Lanczos. One channel is ITU-R 601 luma. Transparency is composited on white, 16-bit
    samples keep their high byte, and of an animation the first frame is taken. Raises BadImage for
    whatever is not a whole image, has 32-bit samples, or is smaller than the crop.
    """
    try:
        file = io.BytesIO(file) if isinstance(file, bytes) else file
        length = file.seek(0, io.SEEK_END)
        if not length:
            raise BadImage("empty file")
        file.seek(0)
        if length <= AT_ONCE:
            data = file.read()
            if (square := plain_jpeg(data, size, channels, crop)) is not None:
                return square
            file = io.BytesIO(data)
        with open_image(file) as image, no_stderr() if image.format == "TIFF" else nullcontext():
            return crop_and_resize(image, size, channels, crop)
    except BadImage:
        raise
    # On damaged files Pillow's parsers raise nearly every exception there is.
    except Exception as error:
        raise BadImage(reason_of(error)) from error


@contextmanager
def open_image(file: BinaryIO) -> Iterator[Image.Image]:
    """What Pillow makes of a file after its header. Raises BadImage, or whatever Pillow does.

    Nothing in it takes minutes or gigabytes.
    """
    length = file.seek(0, io.SEEK_END)
    if length > MAX_FILE:
        raise BadImage(f"{length:,} bytes, more than {MAX_FILE:,}")
    refuse_numbers(file)
    # Pillow warns of damaged metadata and of large images; the limits here are our own.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(file, formats=FORMATS) as image:
            if image.format in ("JPEG", "MPO"):
                file.seek(0)
                refuse_scans(file.read(), *image.size)
            yield image


def plain_jpeg(data: bytes, size: int, channels: int, crop: int | None) -> np.ndarray | None:
    """The pixels of `crop_and_resize`, sooner; None unless the file is a plain, sound JPEG."""
    if (found := jpeg.size_of(data)) is None:
        return None
    try:
        side, scale = plan(*found, size, crop)
        refuse_scans(data, *found)
    except BadImage:
        return None
    pixels = jpeg.pixels_of(data, *found, scale, channels)
    if pixels is None:
        return None
    x, y, x_end, y_end, box = middle(*found, side, scale)
    return resample(pixels[y:y_end, x:x_end], box, size)


def crop_and_resize(image: Image.Image, size: int, channels: int, crop: int | None) -> np.ndarray:
    """The part of `decode` after the file is opened: uint8 [size, size, channels]."""
    mode = "L" if channels == 1 else "RGB"
    width, height = image.size
    side, scale = plan(width, height, size, crop)
    # Colours that are sampled otherwise along x than along y would be reduced too far.
    if any(h != v for _, h, v, _ in getattr(image, "layer", ())):
        scale = 1
    drafted = image.draft(mode, (width // scale, height // scale))
    scale = scale if drafted else 1
    image.load()

    transpose, *reverses = UPRIGHT.get(orientation(image), (None, False, False))
    *bounds, box = middle(width, height, side, scale, *reverses)
    square = resample(pixels_of(image, bounds, mode), box, size)
    return square if transpose is None else transpose(square)


def pixels_of(image: Image.Image, bounds: list[int], mode: str) -> np.ndarray:
    """The part `bounds` of an image: uint8 [H, W, C].

    Band by band, since Pillow makes a copy for each of its operations.
    """
    left, top, right, bottom = bounds
    pixels = np.empty((bottom - top, right - left, len(mode)), np.uint8)
    step = max(1, BAND // (right - left))
    for y in range(top, bottom, step):
        band = to_mode(image.crop((left, y, right, min(y + step, bottom))), mode)
        pixels[y - top : y - top + step] = np.asarray(band).reshape(-1, *pixels.shape[1:])
    return pixels


def plan(width: int, height: int, size: int, crop: int | None) -> tuple[int, int]:
    """Side of the square to cut out, and by what a JPEG may be reduced as it is decoded.

    At 1/2, 1/4 or 1/8 of its size a JPEG takes less time to decode, and loses the frequencies that
    the resize would take away, if not quite as gently. While 4/3 of the final resolution are left,
    the result is nearer to the ideal one (Lanczos of all pixels, in double precision) than what a
    full decode and torchvision's antialiased bilinear resize give.
    """
    if width * height > MAX_PIXELS:
        raise BadImage(f"{width} x {height} pixels: more than {MAX_PIXELS:,}")
    if crop and crop > min(width, height):
        raise BadImage(f"{width} x {height} pixels: less than the crop of {crop}")
    side = crop or min(width, height)
    return side, next((scale for scale in (8, 4, 2) if 3 * side >= 4 * scale * size), 1)


def middle(
    width: int,
    height: int,
    side: int,
    scale: int,
    reverses_x: bool = False,
    reverses_y: bool = False,
) -> tuple[int, int, int, int, tuple[float, float, float, float]]:
    """The centre square of a picture decoded at 1/scale: the pixels it touches; the box in them.

    The pixels are cut out first, so that what lies beside the square does not shine in at its
    edges.
    """
    # An odd margin has its larger half on the right and at the bottom of the upright picture.
    left, top = (width - side + reverses_x) // 2, (height - side + reverses_y) // 2
    box = [edge / scale for edge in (left, top, left + side, top + side)]
    x, y = int(box[0]), int(box[1])
    relative = (box[0] - x, box[1] - y, box[2] - x, box[3] - y)
    return x, y, math.ceil(box[2]), math.ceil(box[3]), relative


def refuse_scans(data: bytes, width: int, height: int) -> None:
    """Raise BadImage for a JPEG that would take minutes."""
    if width * height * jpeg.scans_of(data) > MAX_SCANNED:
        raise BadImage(f"{jpeg.scans_of(data):,} scans of {width} x {height} pixels")


def refuse_numbers(file: BinaryIO) -> None:
    """Raise BadImage for a TIFF with a tag that would take minutes and gigabytes."""
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
        if numbers > MAX_NUMBERS and kind not in BYTES:
            raise BadImage(f"a TIFF tag of {numbers:,} numbers")


@contextmanager
def no_stderr() -> Iterator[None]:
    """libtiff says on the terminal what Pillow raises too, without the name of the file."""
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


def orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ORIENTATION_TAG, 1)
    # Broken EXIF is no reason to lose a picture that decodes.
    except Exception:
        return 1


def to_mode(image: Image.Image, mode: str) -> Image.Image:
    """`image` as "L" or "RGB", whatever it was stored as."""
    if image.mode.startswith("I;16"):
        # As Pillow itself reads 16-bit colour. (Its `convert` would clip.)
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):  # of which some writers fill 8 bits, some 16, some all
        raise BadImage("32-bit pixels have no defined range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    return image if image.mode == mode else image.convert(mode)


def reason_of(error: Exception) -> str:
    """What went wrong, in one short line."""
    if isinstance(error, Image.UnidentifiedImageError):
        return f"not an image ({', '.join(FORMATS)})"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS:,} pixels"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= 120 else lines[0][:117] + "..."
