"""Pictures of segmentations: overlays, and examples beside their true masks."""

import math

import numpy as np
from PIL import Image, ImageDraw

from dcgan.data import IGNORED
from dcgan.deconv.fcn.palette import class_colours, colour_mask
from dcgan.explore.figures import GAP, LINE, Figure, font

_OPACITY = 0.55  # of the classes over an image
_SWATCH = 14  # pixels
_COLUMN = 9 * _SWATCH
_CONFUSION_CELL = 24


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An image uint8 [H, W, C] with the colours of its classes [H, W] over it: uint8 [H, W, 3].

    Class 0, the background, and ignored pixels are left as they are.
    """
    image = np.broadcast_to(image, (*image.shape[:2], 3))
    mixed = image + _OPACITY * (colour_mask(mask).astype(np.float32) - image)
    shown = (mask > 0) & (mask != IGNORED)
    return np.where(shown[..., None], mixed, image).round().astype(np.uint8)


def draw_examples(
    images: np.ndarray, masks: np.ndarray, predicted: np.ndarray, names: tuple[str, ...]
) -> np.ndarray:
    """Images uint8 [N, S, S, C] over their true masks and the predicted ones, both [N, S, S], and
    the names of the classes in their colours: uint8 [H, W, 3].
    """
    rows = {"image": images, "true": colour_mask(masks), "predicted": colour_mask(predicted)}
    sheet = Figure(images.shape[1])
    left, y = GAP, GAP
    for name, pictures in rows.items():
        sheet.text(name, left, y)
        y += sheet.line
        for column, picture in enumerate(pictures):
            sheet.image(picture, left + column * (sheet.cell + GAP), y)
        y += sheet.cell + GAP
    examples = sheet.render()
    return np.concatenate([examples, draw_legend(names, examples.shape[1])])


def draw_legend(names: tuple[str, ...], width: int) -> np.ndarray:
    """The names of classes beside their colours, `width` pixels wide: uint8 [H, width, 3]."""
    columns = max(1, (width - GAP) // _COLUMN)
    lines = math.ceil(len(names) / columns)
    legend = Image.new("RGB", (width, GAP + lines * LINE), "white")
    draw = ImageDraw.Draw(legend)
    for index, (name, colour) in enumerate(zip(names, class_colours(), strict=False)):
        x, y = GAP + index % columns * _COLUMN, index // columns * LINE
        draw.rectangle((x, y, x + _SWATCH, y + _SWATCH), fill=tuple(map(int, colour)))
        draw.text((x + _SWATCH + GAP, y), name, fill="black", font=font())
    return np.asarray(legend)


def draw_confusion(confusion: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """The share of the pixels of each true class (rows) that are predicted as each class
    (columns), from white to black: uint8 [H, W, 3].

    confusion: [classes, classes], counts.
    """
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    labels = max(int(font().getlength(name)) for name in names) + 2 * GAP
    side = len(names) * _CONFUSION_CELL
    picture = Image.new("RGB", (labels + side + GAP, LINE + side + GAP), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((labels, 0), "predicted", fill="black", font=font())
    for row, name in enumerate(names):
        y = LINE + row * _CONFUSION_CELL
        draw.text((GAP, y + GAP // 2), name, fill="black", font=font())
        for column, share in enumerate(shares[row]):
            x, level = labels + column * _CONFUSION_CELL, round(255 * (1 - share))
            box = (x, y, x + _CONFUSION_CELL - 1, y + _CONFUSION_CELL - 1)
            draw.rectangle(box, fill=(level,) * 3, outline="lightgrey")
    return np.asarray(picture)
