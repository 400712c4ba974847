"""Pictures of projections, patches, kernels, feature maps and occlusion, with texts."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dcgan import images
from dcgan.errors import printable

GREY = 128  # of zero, and beyond the borders of an image
_CELL = 80  # pixels: smaller images are enlarged to about this side by a whole number
_MAX_CELL = 128  # larger ones are made smaller
_GAP = 10  # pixels between pictures
_TEXT_SIZE = 14
_LINE = 20  # height of a line of text
_MAX_WIDTH = 1800  # of a row that more than one picture fits in
_CONTRAST = 0.995  # of the numbers of a projection are within black and white

Titled = tuple[str, np.ndarray]  # a picture, uint8 [H, W, 3], and the text above it


def to_picture(signed: Tensor, contrast: float = _CONTRAST) -> np.ndarray:
    """Numbers of both signs [C, H, W] -> uint8 [H, W, 1 or 3]: zero is grey.

    The `contrast` quantile of their magnitudes becomes black or white. Other numbers of channels
    than 1 and 3 are averaged.
    """
    signed = signed.detach().float().cpu()
    if len(signed) not in (1, 3):
        signed = signed.mean(0, keepdim=True)
    magnitudes = signed.abs().flatten().numpy()
    largest = max(float(np.quantile(magnitudes, contrast)), float(magnitudes.max()) / 8, 1e-30)
    return images.to_uint8((signed / largest)[None])[0].numpy()


def block(cells: Sequence[np.ndarray], columns: int | None = None) -> np.ndarray:
    """Images uint8 [H, W, 1 or 3] of one shape in rows, each enlarged: uint8 [H', W', 3]."""
    return images.make_grid(np.stack([resized(cell) for cell in cells]), columns)


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures of one height beside each other."""
    gap = np.full((len(left), _GAP // 2, 3), 255, np.uint8)
    return np.concatenate([left, gap, right], 1)


def heat(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Numbers [h, w] as colours from blue, the least, to yellow, the largest: uint8 [H, W, 3]."""
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    colours = (colormaps["viridis"](scaled)[..., :3] * 255).round().astype(np.uint8)
    return np.asarray(Image.fromarray(colours).resize(shape[::-1], Image.Resampling.NEAREST))


def grey_maps(maps: Tensor) -> list[list[np.ndarray]]:
    """Maps [N, C, h, w] -> for each of N, C images uint8 [h, w, 1].

    Zero is black, or the least value of the channel where that is negative; white is the largest
    of the channel in all N.
    """
    low = maps.amin((0, 2, 3), keepdim=True).clamp(max=0)
    high = maps.amax((0, 2, 3), keepdim=True)
    scaled = (maps - low) / (high - low).clamp(min=1e-30) * 2 - 1
    return [[images.to_uint8(one[None, None])[0].numpy() for one in each] for each in scaled]


def resized(image: np.ndarray, side: int = _CELL, most: int = _MAX_CELL) -> np.ndarray:
    """uint8 [H, W, 1 or 3] -> [H', W', 3]: enlarged by a whole number to about `side` pixels, or
    made smaller where it has more than `most`.
    """
    height, width = image.shape[:2]
    factor: float = max(1, round(side / max(height, width)))
    if max(height, width) > most:
        factor = most / max(height, width)
    shape = max(1, round(width * factor)), max(1, round(height * factor))
    colour = Image.fromarray(np.ascontiguousarray(np.broadcast_to(image, (height, width, 3))))
    kind = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    return np.asarray(colour.resize(shape, kind))


def sheet(caption: str, pictures: Sequence[Titled], columns: int | None = None) -> np.ndarray:
    """Pictures in rows below a caption, each below its title: uint8 [H, W, 3].

    Without `columns`, rows have as many pictures as fit in 1,800 pixels.
    """
    font = ImageFont.load_default(_TEXT_SIZE)
    pictures = [(printable(title), picture) for title, picture in pictures]
    cell = max(max(picture.shape[1], _width(font, title)) for title, picture in pictures) + _GAP
    if columns is None:
        rows = math.ceil(len(pictures) / max(1, (_MAX_WIDTH - _GAP) // cell))
        columns = math.ceil(len(pictures) / rows)  # no row is much shorter than others
    placed: list[tuple[str, np.ndarray, int, int]] = []
    y, right = 2 * _GAP + _LINE, _GAP + _width(font, caption)
    for start in range(0, len(pictures), columns):
        row, x = pictures[start : start + columns], _GAP
        top = y + (_LINE if any(title for title, _ in row) else 0)
        for title, picture in row:
            placed.append((title, picture, x, top))
            x += max(picture.shape[1], _width(font, title)) + _GAP
        y = top + max(len(picture) for _, picture in row) + _GAP
        right = max(right, x - _GAP)
    drawn = Image.new("RGB", (right + _GAP, y), "white")
    draw = ImageDraw.Draw(drawn)
    draw.text((_GAP, _GAP), printable(caption), fill="black", font=font)
    for title, picture, x, top in placed:
        draw.text((x, top - _LINE), title, fill="black", font=font)
        drawn.paste(Image.fromarray(picture), (x, top))
    return np.asarray(drawn)


def _width(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str) -> int:
    return int(font.getlength(text)) + 1 if text else 0
