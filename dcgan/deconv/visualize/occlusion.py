"""Occlusion sensitivity (Zeiler and Fergus 2013, section 4.2): what a unit looks at."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan.deconv.visualize.layers import Layer
from dcgan.deconv.visualize.projection import batches
from dcgan.errors import UsageError

_STEPS = 24  # positions of the square along a side, about
_SQUARES_PER_SIDE = 8


@dataclass(frozen=True, eq=False)
class OcclusionMap:
    """Responses of units while a square of `side` pixels covers a part of an image.

    `whole` [n]: to the image as it is. `covered` [n, rows, columns]: with the upper left corner of
    the square at `tops[row]`, `lefts[column]`.
    """

    whole: Tensor
    covered: Tensor
    side: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]


def occlusion_map(
    layer: Layer,
    image: Tensor,
    units: list[int],
    side: int | None = None,
    step: int | None = None,
    fill: float = 0.0,
) -> OcclusionMap:
    """The responses of units of a layer to an image [C, H, W] in [-1, 1] with a grey square on it.

    A response is the sum over the map of the unit, as in the paper. The square of `side` pixels (an
    eighth of the shorter side by default) moves by `step` pixels, and ends at the borders. `fill`
    is its value, 0 for mid-grey. Raises UsageError for a square larger than the image.
    """
    layer.check_units(units)
    height, width = image.shape[1:]
    side = side or max(1, min(height, width) // _SQUARES_PER_SIDE)
    if side > min(height, width):
        raise UsageError(f"--square {side}: the image has {height}x{width} pixels")
    step = step or max(1, (min(height, width) - side) // _STEPS)
    tops, lefts = (_places(length, side, step) for length in (height, width))
    places = [(top, left) for top in tops for left in lefts]
    responses = []
    for part in batches(len(places), height, width):
        covered = image.repeat(len(places[part]), 1, 1, 1)
        for one, (top, left) in zip(covered, places[part], strict=True):
            one[:, top : top + side, left : left + side] = fill
        responses.append(_responses(layer, covered, units))
    table = torch.cat(responses).T.unflatten(1, (len(tops), len(lefts)))
    return OcclusionMap(_responses(layer, image[None], units)[0], table, side, tops, lefts)


def _responses(layer: Layer, x: Tensor, units: list[int]) -> Tensor:
    """The sums over the maps of units: [N, n]."""
    return layer.maps(x)[:, units].sum((2, 3))


def _places(length: int, side: int, step: int) -> tuple[int, ...]:
    """Where squares begin along an axis: every `step` pixels, and at the end."""
    return tuple(sorted({*range(0, length - side + 1, step), length - side}))
