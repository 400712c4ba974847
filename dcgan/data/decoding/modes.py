"""Pixels of any of Pillow's modes as 8-bit grey or colour."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from dcgan.data.decoding.levels import to_bytes

_BAND_PIXELS = 2**22  # converted at a time


def bands(
    image: Image.Image, left: int, top: int, right: int, bottom: int
) -> Iterator[tuple[int, Image.Image]]:
    """A part of an image as bands of full width, each with its first line counted from the top of
    the part, because Pillow copies the pixels in each of its operations.
    """
    step = max(1, _BAND_PIXELS // (right - left))
    for y in range(top, bottom, step):
        yield y - top, image.crop((left, y, right, min(y + step, bottom)))


def convert_part(
    image: Image.Image,
    bounds: tuple[int, int, int, int],
    mode: str,
    levels: tuple[float, float] | None,
) -> np.ndarray:
    """The part `bounds` (left, top, right, bottom) of an image in the mode "L" or "RGB": uint8
    [H, W, C].

    levels: the values that become black and white, of an image with more than 8 bits.
    """
    left, top, right, bottom = bounds
    pixels = np.empty((bottom - top, right - left, len(mode)), np.uint8)
    for y, band in bands(image, *bounds):
        if levels:
            band = Image.fromarray(to_bytes(np.asarray(band), *levels))
        pixels[y : y + band.height] = np.asarray(_to_mode(band, mode)).reshape(
            -1, *pixels.shape[1:]
        )
    return pixels


def extremes(image: Image.Image) -> tuple[float, float]:
    """The least and the greatest finite value of a grey image; 0 and 1 if it has none."""
    low, high = np.inf, -np.inf
    for _, band in bands(image, 0, 0, *image.size):
        values = np.asarray(band)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 1.0)


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image of 8 bits to "L" or "RGB"."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    return image if image.mode == mode else image.convert(mode)
