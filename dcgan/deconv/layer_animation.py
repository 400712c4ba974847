"""One layer at work, in the manner of Dumoulin and Visin 2016: an animation of its windows."""

from collections.abc import Iterator
from itertools import product

import numpy as np
from PIL import Image, ImageDraw

from dcgan.errors import UsageError
from dcgan.sizes import ConvTranspose, Layer, Layer2d

_CELL, _GAP = 22, 12  # pixels
_INPUT, _READ = (142, 186, 229), (36, 84, 150)
_OUTPUT, _WRITTEN, _NOW = (222, 240, 236), (122, 200, 180), (20, 120, 100)
_ZERO, _READ_ZERO, _LINE = (255, 255, 255), (190, 198, 210), (150, 150, 150)
_MAX_FRAMES, _MAX_SIDE = 900, 64


def animation_frames(layer: Layer2d, size: tuple[int, int]) -> tuple[int, Iterator[np.ndarray]]:
    """How many frames, and the frames, uint8 [H, W, 3]: one for each output position.

    Left, the input of `size` (height, width) in blue, amid the zeros of its padding; right, the
    output in green. The taps of the kernel on the input are dark, and so is the output that they
    make. A transposed convolution is shown as the convolution that it equals (section 4 of the
    guide): zeros lie between its inputs, the stride is 1.

    Raises UsageError for more than 900 outputs or sides of more than 64 cells.
    """
    heights, widths = (_reads(axis, side) for axis, side in zip(layer.axes, size, strict=True))
    count = len(heights) * len(widths)
    spans = [_span(layer.axes[i], size[i], reads) for i, reads in enumerate((heights, widths))]
    largest = max(stop - start for start, stop in spans)
    if count > _MAX_FRAMES or largest > _MAX_SIDE:
        raise UsageError(
            f"an animation of {len(heights)}x{len(widths)} outputs and windows over {largest} "
            f"cells is too large: at most {_MAX_FRAMES} outputs and {_MAX_SIDE} cells"
        )
    return count, _frames(layer, size, heights, widths, spans)


def _frames(
    layer: Layer2d,
    size: tuple[int, int],
    heights: list[list[int]],
    widths: list[list[int]],
    spans: list[tuple[int, int]],
) -> Iterator[np.ndarray]:
    (top, bottom), (left, right) = spans
    sheet_height = max(bottom - top, len(heights)) * _CELL + 2 * _GAP
    output_left = (right - left) * _CELL + 2 * _GAP
    sheet_width = output_left + len(widths) * _CELL + _GAP
    spacing = [axis.stride if isinstance(axis, ConvTranspose) else 1 for axis in layer.axes]
    for index, (now_row, now_column) in enumerate(product(range(len(heights)), range(len(widths)))):
        sheet = Image.new("RGB", (sheet_width, sheet_height), "white")
        draw = ImageDraw.Draw(sheet)
        read = set(product(heights[now_row], widths[now_column]))
        for row, column in product(range(top, bottom), range(left, right)):
            is_input = all(
                place % step == 0 and 0 <= place // step < side
                for place, step, side in zip((row, column), spacing, size, strict=True)
            )
            colours = (_READ, _INPUT) if is_input else (_READ_ZERO, _ZERO)
            colour = colours[0] if (row, column) in read else colours[1]
            _cell(draw, _GAP + (column - left) * _CELL, _GAP + (row - top) * _CELL, colour)
        for row, column in product(range(len(heights)), range(len(widths))):
            number = row * len(widths) + column
            colour = _NOW if number == index else _WRITTEN if number < index else _OUTPUT
            _cell(draw, output_left + column * _CELL, _GAP + row * _CELL, colour)
        yield np.asarray(sheet)


def _reads(axis: Layer, size: int) -> list[list[int]]:
    """The places that the taps read for each output.

    Places are inputs; those of a transposed convolution lie `stride` apart, with zeros between.
    """
    outputs = range(axis.output_size(size))
    if isinstance(axis, ConvTranspose):
        taps = range(0, axis.extent, axis.dilation)
        return [[o + axis.padding - tap for tap in taps] for o in outputs]
    return [axis.inputs_of(output) for output in outputs]


def _span(axis: Layer, size: int, reads: list[list[int]]) -> tuple[int, int]:
    """From the first to after the last place that is read or is an input."""
    last = (size - 1) * (axis.stride if isinstance(axis, ConvTranspose) else 1)
    return min(0, *map(min, reads)), max(last, *map(max, reads)) + 1


def _cell(draw: ImageDraw.ImageDraw, x: int, y: int, colour: tuple[int, int, int]) -> None:
    draw.rectangle((x, y, x + _CELL, y + _CELL), fill=colour, outline=_LINE)
