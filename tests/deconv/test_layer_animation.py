"""Frames show for every output which inputs it is made of."""

import numpy as np
import pytest

from dcgan.deconv.layer_animation import _CELL, _INPUT, _NOW, _READ, animation_frames
from dcgan.errors import UsageError
from dcgan.sizes import parse_layers


def cells(frame: np.ndarray, colour: tuple[int, int, int]) -> int:
    """How many cells of a frame have this colour, by the pixels within their outlines."""
    return int((frame == colour).all(-1).sum()) // (_CELL - 1) ** 2


@pytest.mark.parametrize(
    "text",
    [
        "conv 1 3",
        "conv 1 3 2 1",
        "conv 1 3x2 1x2 2x0 dilation=2x1",
        "maxpool 3 2 1",
        "deconv 1 3 2 1 output_padding=1",
        "deconv 1 4x3 2x3 1x0 dilation=2x1",
        "deconv 1 3 1 2",
    ],
)
def test_the_inputs_of_every_output_are_dark(text):
    (layer,), size = parse_layers(text), (4, 3)
    count, frames = animation_frames(layer, size)
    height, width = (axis.output_size(n) for axis, n in zip(layer.axes, size, strict=True))
    frames = list(frames)
    assert len(frames) == count == height * width
    places_now = []
    for number, frame in enumerate(frames):
        places = divmod(number, width)
        met = [
            sum(0 <= i < side for i in axis.inputs_of(place))
            for axis, place, side in zip(layer.axes, places, size, strict=True)
        ]
        assert cells(frame, _READ) == met[0] * met[1]
        assert cells(frame, _READ) + cells(frame, _INPUT) == 4 * 3
        assert cells(frame, _NOW) == 1
        places_now.append(np.argwhere((frame == _NOW).all(-1)).mean(0))
    for number, now in enumerate(places_now):
        row, column = divmod(number, width)
        assert (now - places_now[0]).tolist() == [row * _CELL, column * _CELL]


def test_too_large_an_animation_is_refused():
    with pytest.raises(UsageError, match="62x62 outputs and windows over 64 cells is too large"):
        animation_frames(parse_layers("conv 1 3")[0], (64, 64))
    with pytest.raises(UsageError, match="too large"):
        animation_frames(parse_layers("conv 1 100 50")[0], (200, 200))
