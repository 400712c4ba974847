"""Receptive fields of the units of a layer, and crops of images."""

from typing import NamedTuple

import numpy as np

from dcgan.deconv.visualize.chains import chain_of
from dcgan.deconv.visualize.layers import Layer
from dcgan.deconv.visualize.reach import Reach
from dcgan.deconv.visualize.tracing import differentiating, probe_inputs
from dcgan.networks.strided_convolution import torch_convolutions
from dcgan.sizes import Layer as Axis
from dcgan.sizes import inputs_of


class Window(NamedTuple):
    """A part of an image, in pixels. It may pass the borders: into the padding of the network."""

    top: int
    left: int
    height: int
    width: int


class Fields:
    """The receptive fields of a layer's units, by position, for images of its input's size.

    Where the layers before it form a chain, `dcgan.sizes` computes the field; it passes the borders
    of the image where the network pads. In other networks, such as those with shortcuts, it is
    where the image reaches the unit, see `Reach`; at the borders it gets the size that the field
    has in the middle. A field that is larger than the image becomes the whole image.
    """

    def __init__(self, layer: Layer):
        self.layer = layer
        _, self.height, self.width = layer.input_shape
        self._cache: dict[tuple[int, int], Window] = {}
        with differentiating(layer.network), torch_convolutions():
            x = probe_inputs(layer.network, layer.input_shape).requires_grad_()
            self.chain = chain_of(layer.compute(x.clone()))
        if self.chain is None:
            self._reach = Reach(layer)
        middle = self._spans((layer.shape[1] // 2, layer.shape[2] // 2))
        self._size = [stop - start for start, stop in middle]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the windows."""
        return min(self._size[0], self.height), min(self._size[1], self.width)

    def window(self, row: int, column: int) -> Window:
        """The part of the image that the unit at this position depends on."""
        place = row, column
        if place not in self._cache:
            self._cache[place] = self._window(place)
        return self._cache[place]

    def _window(self, place: tuple[int, int]) -> Window:
        spans = self._spans(place)
        sides = (self.height, self.width)
        starts = [
            0 if size >= side else _start(span, size, side, clipped=self.chain is None)
            for span, size, side in zip(spans, self._size, sides, strict=True)
        ]
        return Window(starts[0], starts[1], *self.size)

    def _spans(self, place: tuple[int, int]) -> list[tuple[int, int]]:
        """The first position of the field and the one after the last, along both axes."""
        if self.chain is None:
            return self._reach.bounds(*place)
        return [_span(axis, at) for axis, at in zip(self.chain, place, strict=True)]


def crop(image: np.ndarray, window: Window, fill: int) -> np.ndarray:
    """The window of an image [H, W, C]; beyond the borders it is filled."""
    height, width = image.shape[:2]
    top, left, rows, columns = window
    patch = np.full((rows, columns, image.shape[2]), fill, image.dtype)
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = max(min(top + rows, height), y0), max(min(left + columns, width), x0)
    inside = image[y0:y1, x0:x1]
    if not inside.size:
        return patch
    patch[y0 - top : y0 - top + len(inside), x0 - left : x0 - left + inside.shape[1]] = inside
    return patch


def _span(axis: list[Axis], position: int) -> tuple[int, int]:
    inputs = inputs_of(axis, position)
    return (int(inputs[0]), int(inputs[-1]) + 1) if inputs.size else (0, 1)


def _start(span: tuple[int, int], size: int, side: int, clipped: bool) -> int:
    """Where a window of `size` begins that has this span; `clipped` spans end at the borders."""
    if clipped and span[0] == 0:
        return span[1] - size
    return span[0]
