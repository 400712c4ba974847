"""Tables of sizes as lines of text."""

from collections.abc import Sequence
from fractions import Fraction

from dcgan.errors import UsageError
from dcgan.sizes.layers import Conv, ConvTranspose, Layer
from dcgan.sizes.parsing import Layer2d
from dcgan.sizes.stacks import receptive_field

_MAX_SOLUTIONS = 40


def layers_table(
    layers: Sequence[Layer2d], size: tuple[int, int], channels: int | None = None
) -> list[str]:
    """A row for each layer: its output for images of `size`, height and width, and what one unit
    of it sees: receptive field, effective stride and padding, and the middle of the first unit.

    `taps` are how many taps of this layer meet a position of its larger map, "uneven" for a
    checkerboard. Raises UsageError for a layer that leaves no output.
    """
    rows = [["layer", "output", "field", "stride", "padding", "first centre", "taps"]]
    rows.append(["input", _shape(channels, size), "", "", "", "", ""])
    for number, layer in enumerate(layers, start=1):
        try:
            height, width = (axis.output_size(n) for axis, n in zip(layer.axes, size, strict=True))
        except UsageError as error:
            raise UsageError(f"layer {number}, {layer.text!r}: {error}") from None
        size = height, width
        channels = layer.channels or channels
        fields = [receptive_field([each.axes[axis] for each in layers[:number]]) for axis in (0, 1)]
        rows.append(
            [
                layer.text,
                _shape(channels, size),
                _both(*(field.size for field in fields)),
                _both(*(field.stride for field in fields)),
                _both(*(field.padding for field in fields)),
                _both(*(field.centre for field in fields)),
                _both(*(_taps(axis) for axis in layer.axes)),
            ]
        )
    return _aligned(rows)


def solutions_table(
    size: int,
    output: int,
    convolutions: Sequence[Conv],
    transposed: Sequence[ConvTranspose],
) -> list[str]:
    """A row for each layer that takes `size` positions to `output`, even ones first."""
    rows = [["layer", "kernel", "stride", "padding", "output_padding", "taps"]]
    for name, found in (("conv", convolutions), ("deconv", transposed)):
        ordered = sorted(found, key=lambda layer: (not layer.is_even(), layer.kernel, layer.stride))
        for layer in ordered[:_MAX_SOLUTIONS]:
            extra = str(layer.output_padding) if isinstance(layer, ConvTranspose) else ""
            numbers = [str(layer.kernel), str(layer.stride), str(layer.padding), extra]
            rows.append([name, *numbers, _taps(layer)])
        if len(ordered) > _MAX_SOLUTIONS:
            rows.append([f"and {len(ordered) - _MAX_SOLUTIONS} more {name}", *[""] * 5])
    if len(rows) == 1:
        raise UsageError(
            f"no kernel from 1 to 7 with a stride from 1 to 4 takes {size} to {output}"
        )
    return _aligned(rows)


def _taps(layer: Layer) -> str:
    least, most = min(layer.coverage()), max(layer.coverage())
    return f"{most}" if least == most else f"{least}-{most} uneven"


def _shape(channels: int | None, size: tuple[int, int]) -> str:
    return "x".join(map(str, size if channels is None else (channels, *size)))


def _both(height: object, width: object) -> str:
    """What both axes have, or both."""
    height, width = (str(_short(value)) for value in (height, width))
    return height if height == width else f"{height} x {width}"


def _short(value: object) -> object:
    """Fractions of halves and quarters as decimals: 1.5, but 1/3."""
    if isinstance(value, Fraction) and value.denominator in (1, 2, 4, 8):
        return f"{float(value):g}"
    return value


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
