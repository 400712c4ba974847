"""Pictures with captions: cells of images on white."""

import re
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dcgan.errors import printable

_MIN_CELL = 96  # pixels: smaller images are enlarged by a whole number
_TEXT_SIZE = 14
GAP = 6  # pixels between cells
LINE = _TEXT_SIZE + GAP  # height of a line of text


@dataclass
class Figure:
    """A white sheet on which images of one size, and texts, are placed. Lengths are in pixels."""

    size: int  # side of the images
    _images: list[tuple[np.ndarray, int, int]] = field(default_factory=list)
    _texts: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def cell(self) -> int:
        """Side of an image as it is shown."""
        return self.size * max(1, round(_MIN_CELL / self.size))

    @property
    def line(self) -> int:
        """Height of a line of text."""
        return LINE

    def image(self, image: np.ndarray, x: int, y: int) -> None:
        """Place uint8 [S, S, 1 or 3] with its upper left corner at (x, y)."""
        self._images.append((image, x, y))

    def text(self, text: str, x: int, y: int) -> None:
        """Place a line of text with its upper left corner at (x, y)."""
        self._texts.append((text, x, y))

    def wrap(self, text: str) -> list[str]:
        """Lines as wide as an image, broken after commas where that is possible.

        Characters that cannot be shown become escapes, see `printable`.
        """
        lines = [""]
        for word in re.findall("[^,]*,|[^,]+", printable(text)):
            if lines[-1] and _text_width(lines[-1] + word) > self.cell:
                lines.append("")
            lines[-1] += word
        return [self._shortened(line) for line in lines]

    def _shortened(self, line: str) -> str:
        while len(line) > 1 and _text_width(line) > self.cell:
            line = line.rstrip("…")[:-1] + "…"
        return line

    def render(self) -> np.ndarray:
        """The sheet, just large enough for all that is on it: uint8 [H, W, 3]."""
        places = [(x + self.cell, y + self.cell) for _, x, y in self._images]
        places += [(x + _text_width(text), y + self.line) for text, x, y in self._texts]
        right, bottom = (max(place[i] for place in places) + GAP for i in (0, 1))
        sheet = Image.new("RGB", (right, bottom), "white")
        for image, x, y in self._images:
            colour = np.broadcast_to(image, (*image.shape[:2], 3))
            pixels = Image.fromarray(np.ascontiguousarray(colour))
            sheet.paste(pixels.resize((self.cell, self.cell), Image.Resampling.NEAREST), (x, y))
        draw = ImageDraw.Draw(sheet)
        for text, x, y in self._texts:
            draw.text((x, y), text, fill="black", font=font())
        return np.asarray(sheet)


def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of captions."""
    return ImageFont.load_default(_TEXT_SIZE)


def _text_width(text: str) -> int:
    return int(font().getlength(text)) + 1
