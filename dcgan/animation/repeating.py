"""GIF, WebP and animated PNG files, which repeat for ever."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dcgan.errors import UsageError
from dcgan.images import to_pil
from dcgan.runtime.disk import format_size
from dcgan.runtime.picture_mark import OUTPUT_MARK

FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "GIF": {"comment": OUTPUT_MARK},
    "WEBP": {"lossless": True},
    "PNG": {},
}
# Pillow holds all frames until it writes the file: in 256 colours, as they are, and twice.
_BYTES_PER_PIXEL = {"GIF": 1, "WEBP": 4, "PNG": 8}
_MAX_BYTES = 2**31


def check_memory(path: Path, kind: str, frame: np.ndarray, count: int) -> None:
    """Raise UsageError where `count` frames of this size take more than 2.1 GB in memory."""
    height, width = frame.shape[:2]
    needed = count * height * width * _BYTES_PER_PIXEL[kind]
    if needed > _MAX_BYTES:
        raise UsageError(
            f"{path}: {count:,} frames of {width}x{height} pixels take {format_size(needed)} of "
            f"memory as {kind}: ask for fewer, or for an .mp4, which takes little"
        )


def write_repeating(
    path: Path,
    partial: Path,
    kind: str,
    frames: Iterator[np.ndarray],
    count: int,
    seconds_per_frame: float,
) -> None:
    """Write `count` frames, uint8 [H, W, 1 or 3], to the file `partial`, which becomes `path`.

    GIF stores 256 colours a frame and durations in steps of 10 ms; the other formats are lossless.
    Raises UsageError for a duration that the format cannot store (in a GIF, equal frames may last
    11 minutes in total).
    """
    durations = _frame_durations(count, seconds_per_frame, 10 if kind == "GIF" else 1)
    first, pictures = to_pil(next(frames)), map(to_pil, frames)
    try:
        with open(partial, "wb") as file:
            first.save(
                file,
                format=kind,
                save_all=True,
                # Of the three, only the writer of GIF reads them once.
                append_images=pictures if kind == "GIF" else list(pictures),
                duration=durations,
                loop=0,
                **_OPTIONS[kind],
            )
    except (OverflowError, ValueError, struct.error) as error:
        raise UsageError(
            f"{path}: {kind} cannot store this animation ({error}): "
            f"try fewer --seconds, or another of {', '.join(FORMATS)}"
        ) from error


def _frame_durations(frames: int, seconds_per_frame: float, step: int) -> list[int]:
    """Milliseconds per frame, each a multiple of `step`, that add up to the total time."""
    ends = np.rint(np.arange(frames + 1) * seconds_per_frame * 1000 / step)
    return (np.diff(ends) * step).astype(int).tolist()
