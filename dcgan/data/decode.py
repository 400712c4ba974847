"""One image file -> one training image."""

import io
import math
import warnings
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.Image import Transpose

# The formats training sets come in. Pillow's others (PSD, EPS, ...) are left closed: each is one
# more parser for hostile bytes.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")

# A file of 2 KB may declare 10 gigapixels. 134 megapixels is as much as the largest cameras take
# in one exposure, and half a gigabyte as RGBA.
MAX_PIXELS = 2**27

# EXIF orientation -> how the stored picture is turned upright; whether that reverses its x, its y.
ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: (Transpose.FLIP_LEFT_RIGHT, True, False),
    3: (Transpose.ROTATE_180, True, True),
    4: (Transpose.FLIP_TOP_BOTTOM, False, True),
    5: (Transpose.TRANSPOSE, False, False),
    6: (Transpose.ROTATE_270, False, True),
    7: (Transpose.TRANSVERSE, True, True),
    8: (Transpose.ROTATE_90, True, False),
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
    whatever is not a whole image, and for one that is smaller than the crop.
    """
    file = io.BytesIO(file) if isinstance(file, bytes) else file
    try:
        # Pillow warns of damaged metadata and of large images; the limit here is our own.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not file.read(1):
                raise BadImage("empty file")
            file.seek(0)
            with Image.open(file, formats=FORMATS) as image:
                return to_square(image, size, channels, crop)
    except BadImage:
        raise
    # On damaged files Pillow's parsers raise nearly every exception there is.
    except Exception as error:
        raise BadImage(reason_of(error)) from error


def to_square(image: Image.Image, size: int, channels: int, crop: int | None) -> np.ndarray:
    """The part of `decode` after the file is opened: uint8 [size, size, channels]."""
    mode = "L" if channels == 1 else "RGB"
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadImage(f"{width} x {height} pixels: more than {MAX_PIXELS:,}")
    if crop and crop > min(width, height):
        raise BadImage(f"{width} x {height} pixels: less than the crop of {crop}")
    side = crop or min(width, height)

    # A JPEG decodes at 1/2, 1/4 or 1/8 of its size for less than the full decode costs. Twice the
    # final resolution is kept, so that Lanczos still sees what it has to filter out.
    enough = 2 * size / side
    draft = image.draft(mode, (math.ceil(width * enough), math.ceil(height * enough)))
    scale = round(width / draft[1][2]) if draft else 1
    image.load()

    # An odd margin has its larger half on the right and at the bottom of the upright picture.
    transpose, reverses_x, reverses_y = UPRIGHT.get(orientation(image), (None, False, False))
    left, top = (width - side + reverses_x) // 2, (height - side + reverses_y) // 2
    box = (left / scale, top / scale, (left + side) / scale, (top + side) / scale)
    # `resize(box=)` alone would let what lies beside the box shine in at its edges.
    x, y = int(box[0]), int(box[1])
    square = to_mode(image.crop((x, y, math.ceil(box[2]), math.ceil(box[3]))), mode)
    box = (box[0] - x, box[1] - y, box[2] - x, box[3] - y)
    square = square.resize((size, size), Image.Resampling.LANCZOS, box=box)
    if transpose is not None:
        square = square.transpose(transpose)
    return np.asarray(square).reshape(size, size, channels)


def orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ORIENTATION_TAG, 1)
    # Broken EXIF is no reason to lose a picture that decodes.
    except Exception:
        return 1


def to_mode(image: Image.Image, mode: str) -> Image.Image:
    """`image` as "L" or "RGB", whatever it was stored as."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = high_byte(image)
    elif image.mode == "F":
        raise BadImage("floating-point pixels have no defined range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    return image if image.mode == mode else image.convert(mode)


def high_byte(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit, as Pillow itself reads 16-bit colour. (Its `convert` would clip.)"""
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > 0xFFFF:
        raise BadImage("32-bit pixels have no defined range")
    return Image.fromarray((grey >> 8).astype(np.uint8))


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
