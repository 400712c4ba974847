"""MP4 files: H.264 video, encoded by PyAV as the frames come."""

import math
from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from dcgan.errors import UsageError, UserError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.stream import VideoStream

_QUALITY = 18  # x264's constant rate factor: smaller is better, 18 looks like the original
# Players show a video at its own size and smooth it when they enlarge it. Frames whose shorter side
# is below the first are enlarged here, as long as the longer one stays within what all decode.
_ENOUGH_PIXELS = 512
_MAX_ENLARGED = 4096
_MAX_SIDE = 16_384  # of x264
_MAX_DENOMINATOR = 10_000  # of the frame rate
_BT709 = 1  # the code of this standard for primaries, transfer and matrix (ITU-T H.273)
_LIMITED_RANGE = 1  # luma from 16 to 235, which all players expect


def import_av() -> ModuleType:
    """PyAV. Raises UserError if it is missing."""
    try:
        import av
    except ImportError:
        raise UserError('.mp4 needs PyAV: pip install "dcgan[video]"') from None
    return av


def write_mp4(
    path: Path, partial: Path, frames: Iterable[np.ndarray], seconds_per_frame: float
) -> None:
    """Write uint8 [H, W, 1 or 3] frames to the file `partial`, which becomes `path`.

    H.264 (libx264) in yuv420p, BT.709, which all players show. Small frames are enlarged by a whole
    factor, every pixel to a square of one colour; a row or column is repeated where a side is odd.
    Memory does not grow with the number of frames. Raises UsageError for frames that are too large,
    UserError if encoding or writing fails.
    """
    av = import_av()
    frames = iter(frames)
    first = next(frames)
    factor = _enlargement(*first.shape[:2])
    height, width = (side * factor + side * factor % 2 for side in first.shape[:2])
    if max(height, width) > _MAX_SIDE:
        raise UsageError(
            f"{path}: frames of {width}x{height} pixels are too large for an .mp4, "
            f"whose sides are at most {_MAX_SIDE:,}"
        )
    rate = Fraction(1 / seconds_per_frame).limit_denominator(_MAX_DENOMINATOR)
    try:
        # `faststart` puts the index first, so that browsers play before they have the whole file.
        with av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as file:
            stream = _add_stream(file.add_stream("libx264", rate=rate), height, width)
            for frame in chain([first], frames):
                file.mux(stream.encode(_to_video_frame(frame, factor)))
            file.mux(stream.encode())
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise  # which names the problem of the disk
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _add_stream(stream: "VideoStream", height: int, width: int) -> "VideoStream":
    stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
    stream.options = {"crf": str(_QUALITY)}
    context = stream.codec_context
    context.color_primaries = context.color_trc = context.colorspace = _BT709
    context.color_range = _LIMITED_RANGE
    return stream


def _enlargement(height: int, width: int) -> int:
    """The whole factor by which small frames are enlarged. An even one keeps all colours sharp:
    yuv420p has one colour for 2x2 pixels.
    """
    shorter, longer = min(height, width), max(height, width)
    return max(1, min(math.ceil(_ENOUGH_PIXELS / shorter), _MAX_ENLARGED // longer))


def _to_video_frame(frame: np.ndarray, factor: int) -> "VideoFrame":
    """uint8 [H, W, 1 or 3] as an enlarged frame in yuv420p, with even sides."""
    from av import VideoFrame

    frame = frame.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = frame.shape[:2]
    frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    rgb = np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3)))
    return VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED_RANGE
    )
