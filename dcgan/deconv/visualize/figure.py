"""Pictures of projections, patches, kernels, feature maps and occlusion."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from PIL import Image
from torch import Tensor

from dcgan import images
from dcgan.explore.figures import GAP, Figure

GREY = 128  # of zero, and beyond the borders of an image
_CELL = 64  # pixels: smaller images are enlarged to about this side by a whole number
_MAX_CELL = 128  # larger ones are made smaller
_MAX_WIDTH = 1500  # of a sheet, where more than one block fits
_LINE = 20  # height of a line of text


def to_picture(signed: Tensor) -> np.ndarray:
    """[C, H, W] of any range -> uint8 [H, W, 1 or 3]: zero is grey, the largest value black or
    white. Of other numbers of channels than 1 and 3, their mean.
    """
    if len(signed) not in (1, 3):
        signed = signed.mean(0, keepdim=True)
    largest = signed.abs().max().clamp(min=1e-30)
    return images.to_uint8((signed / largest)[None].cpu())[0].numpy()


def block(cells: Sequence[np.ndarray], columns: int | None = None) -> np.ndarray:
    """Images uint8 [H, W, 1 or 3] of one shape in rows, each enlarged: uint8 [H', W', 3]."""
    return images.make_grid(np.stack([_resized(cell) for cell in cells]), columns)


def patches_sheet(
    caption: str, titles: Sequence[str], pairs: Sequence[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Blocks of projections, each beside that of its patches: uint8 [H, W, 3].

    As in figure 2 of Zeiler and Fergus 2013.
    """
    side = max(max(part.shape[:2]) for pair in pairs for part in pair)
    figure = Figure(max(side, 96))
    across = 2 * figure.cell + 3 * GAP
    columns = max(1, min(_MAX_WIDTH // across, len(pairs)))
    figure.text(caption, GAP, GAP)
    for number, (title, (projections, patches)) in enumerate(zip(titles, pairs, strict=True)):
        x = GAP + number % columns * across
        y = GAP + _LINE + number // columns * (figure.cell + _LINE + GAP)
        figure.text(title, x, y)
        figure.image(_square(projections, figure.size), x, y + _LINE)
        figure.image(_square(patches, figure.size), x + figure.cell + GAP // 2, y + _LINE)
    return figure.render()


def row_sheet(
    caption: str, rows: Sequence[Sequence[tuple[str, np.ndarray]]], side: int | None = None
) -> np.ndarray:
    """Rows of pictures with titles: uint8 [H, W, 3]. Each is placed in a square of one side."""
    side = side or max(max(image.shape[:2]) for row in rows for _, image in row)
    figure = Figure(max(side, 96))
    figure.text(caption, GAP, GAP)
    for number, row in enumerate(rows):
        y = GAP + _LINE + number * (figure.cell + _LINE + GAP)
        for column, (title, image) in enumerate(row):
            x = GAP + column * (figure.cell + 2 * GAP)
            figure.text(title, x, y)
            figure.image(_square(image, figure.size), x, y + _LINE)
    return figure.render()


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


def enlarged(image: np.ndarray, side: int) -> np.ndarray:
    """uint8 [H, W, 1 or 3] -> [H', W', 3], by a whole number, to about this side."""
    return _resized(image, side, max(side, *image.shape[:2]))


def _resized(image: np.ndarray, side: int = _CELL, most: int = _MAX_CELL) -> np.ndarray:
    height, width = image.shape[:2]
    factor: float = max(1, round(side / max(height, width)))
    if max(height, width) > most:
        factor = most / max(height, width)
    shape = max(1, round(width * factor)), max(1, round(height * factor))
    colour = Image.fromarray(np.ascontiguousarray(np.broadcast_to(image, (height, width, 3))))
    kind = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    return np.asarray(colour.resize(shape, kind))


def _square(image: np.ndarray, side: int) -> np.ndarray:
    """The image in the upper left corner of a white square."""
    sheet = np.full((side, side, 3), 255, np.uint8)
    height, width = image.shape[:2]
    sheet[:height, :width] = image
    return sheet
