"""Animations in the format that the ending of their file names."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from dcgan.animation.mp4 import import_av, write_mp4
from dcgan.animation.repeating import FORMATS, check_memory, write_repeating
from dcgan.errors import UsageError
from dcgan.runtime.atomic_files import replace_atomically

_MP4 = "MP4"
_SUFFIXES = {**FORMATS, ".mp4": _MP4}


def animation_format(path: Path) -> str:
    """The format of an animation file: "GIF", "WEBP", "PNG" or "MP4".

    Raises UsageError for unknown suffixes, UserError where PyAV is missing for an MP4.
    """
    try:
        kind = _SUFFIXES[Path(path).suffix.lower()]
    except KeyError:
        raise UsageError(f"{path}: an animation ends in {', '.join(_SUFFIXES)}") from None
    if kind == _MP4:
        import_av()
    return kind


def save_animation(
    path: Path,
    frames: Iterable[np.ndarray],
    seconds_per_frame: float,
    count: int | None = None,
) -> None:
    """Write uint8 [H, W, 1 or 3] frames of one shape as .gif, .webp, animated .png or .mp4.

    `count`: the number of frames, where `frames` is an iterator, which is then read as the file is
    written. GIF, WebP and PNG repeat for ever: see `write_repeating`. An MP4 takes memory for a few
    frames, whatever their number: see `write_mp4`. Raises UsageError for no frames or frames of no
    time, for more than fit in memory and for what the format cannot store; UserError if writing
    fails.
    """
    kind = animation_format(path)
    if count is None:
        assert isinstance(frames, Sequence | np.ndarray), "an iterator needs its count"
        count = len(frames)
    if not 0 < seconds_per_frame < math.inf:
        raise UsageError(f"{path}: a frame must last more than 0 seconds, not {seconds_per_frame}")
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise UsageError(f"{path}: an animation needs a frame or more")
    frames = _of_one_shape(path, chain([first], frames))
    if kind != _MP4:
        check_memory(path, kind, first, count)
    with replace_atomically(path, durable=False) as partial:
        if kind == _MP4:
            write_mp4(path, partial, frames, seconds_per_frame)
        else:
            write_repeating(path, partial, kind, frames, count, seconds_per_frame)


def _of_one_shape(path: Path, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same frames. Raises UsageError at one of another shape than the first."""
    shape = None
    for frame in frames:
        shape = shape or frame.shape
        if frame.shape != shape:
            raise UsageError(f"{path}: frames of {shape} and {frame.shape} in one animation")
        yield frame
