"""Layers on top of one another, along one axis: sizes, receptive fields, and who reaches whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np

from dcgan.errors import UsageError
from dcgan.sizes.layers import MISSED, ConvTranspose, Layer

_MAX_CELLS = 2**27  # of a matrix of paths: 1 GB
_MAX_PHASES = 2**10
_FARTHEST = 2**40  # so that strides cannot take positions beyond 64 bits
_MAX_TAPS = 2**18  # of one output, through one layer


@dataclass(frozen=True)
class ReceptiveField:
    """The inputs that one output of a stack depends on. Lengths are in positions of the input.

    `size`: from the first to the last input; with transposed convolutions, where it depends on the
    output, the largest. `stride`: from the middle of one output to that of the next. `centre`: the
    middle of output 0; that of output o is centre + o * stride. (With transposed convolutions
    the fields of single outputs lie beside this line, by turns on both sides.) `padding`: positions
    by which the field of output 0 begins before the input; negative if it begins inside.
    """

    size: int
    stride: Fraction
    centre: Fraction
    padding: int


def output_sizes(layers: Sequence[Layer], size: int) -> list[int]:
    """Positions of the output of every layer. Raises UsageError for a layer that has none."""
    sizes = []
    for layer in layers:
        size = layer.output_size(size)
        sizes.append(size)
    return sizes


def inputs_of(layers: Sequence[Layer], output: int) -> np.ndarray:
    """All inputs that reach one output of a stack, int64, in rising order.

    Also those in the padding: negative, or beyond the input. Far from the borders these are the
    inputs of every output with the same remainder by the product of the strides of transposed
    convolutions.
    """
    reached = np.array([output])
    for layer in reversed(layers):
        if reached.size * layer.kernel > _MAX_TAPS:
            raise UsageError(f"the receptive field is read by more than {_MAX_TAPS:,} taps")
        if np.abs(reached).max(initial=0) > _FARTHEST:
            raise UsageError(f"the receptive field lies more than {_FARTHEST:,} positions away")
        read = np.unique(layer.reads(reached))
        reached = read[read != MISSED]
    return reached


def receptive_field(layers: Sequence[Layer]) -> ReceptiveField:
    """The receptive field of a stack. Raises UsageError where it is larger than can be counted.

    For convolutions alone: size 1 + sum of (kernel - 1) * dilation * (strides of the layers before)
    (Araujo et al. 2019, "Computing receptive fields of convolutional neural networks", equation 2).
    """
    phases = prod(layer.stride for layer in layers if isinstance(layer, ConvTranspose))
    if phases > _MAX_PHASES:
        raise UsageError(f"the layers enlarge by {phases:,}, more than {_MAX_PHASES:,}")
    fields = [inputs_of(layers, output) for output in range(phases)]
    first, second = _centre_of(layers, 0), _centre_of(layers, 1)
    size = max((int(np.ptp(field)) + 1 for field in fields if field.size), default=0)
    padding = -int(fields[0][0]) if fields[0].size else 0
    return ReceptiveField(size, second - first, first, padding)


def _centre_of(layers: Sequence[Layer], output: int) -> Fraction:
    place = Fraction(output)
    for layer in reversed(layers):
        place = layer.centre_of(place)
    return place


def path_counts(layers: Sequence[Layer], size: int) -> np.ndarray:
    """How often each input reaches each output: the number of paths through the taps of all layers.

    -> float64 [outputs, inputs], exact below 2^53. It is the Jacobian of the stack with all weights
    1. Raises UsageError where it takes more than a gigabyte.
    """
    _check_cells(size, size)
    counts = np.eye(size)
    for layer in layers:
        outputs = layer.output_size(size)
        _check_cells(outputs, max(size, layer.kernel))
        matrix = np.zeros((outputs, size))
        read = layer.reads(np.arange(outputs))
        inside = (read >= 0) & (read < size)
        matrix[inside.nonzero()[0], read[inside]] = 1
        counts, size = matrix @ counts, outputs
    return counts


def _check_cells(rows: int, columns: int) -> None:
    if rows * columns > _MAX_CELLS:
        raise UsageError(f"maps of {columns:,} and {rows:,} positions are too large to count paths")
