"""A filmstrip: a row of images for every latent, with its name beside it."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dcgan import images
from dcgan.errors import printable

_GAP, _PADDING = 2, 4  # pixels
_MAX_LETTERS = 24
_FONT_SIZE = 11


def draw_filmstrip(cells: np.ndarray, row_names: Sequence[str]) -> np.ndarray:
    """uint8 [R, C, S, S, channels] and R names -> one picture, uint8 [H, W, channels]."""
    columns, side, channels = cells.shape[1], cells.shape[2], cells.shape[4]
    sheet = images.make_grid(cells.reshape(-1, side, side, channels), columns, _GAP)
    names = [printable(name)[:_MAX_LETTERS] for name in row_names]
    font = ImageFont.load_default(_FONT_SIZE)
    width = int(max((font.getlength(name) for name in names), default=0)) + 2 * _PADDING
    if not any(names):
        return sheet
    margin = Image.new("L", (width, len(sheet)), 255)
    draw = ImageDraw.Draw(margin)
    for row, name in enumerate(names):
        middle = row * (side + _GAP) + _GAP + side / 2
        draw.text((_PADDING, middle), name, fill=0, font=font, anchor="lm")
    text = np.repeat(np.asarray(margin)[..., None], channels, 2)
    return np.concatenate([text, sheet], 1)
