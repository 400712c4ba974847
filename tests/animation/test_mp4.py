"""MP4 files, decoded by PyAV: what was shown, for how long, in which size."""

import sys
import weakref
from fractions import Fraction

import numpy as np
import pytest

from dcgan.animation import animation_format, save_animation
from dcgan.animation.mp4 import _enlargement
from dcgan.errors import UsageError, UserError

av = pytest.importorskip("av")


def smooth_frames(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    """Colours that change slowly over space and time, uint8 [count, H, W, C]."""
    t, y, x, c = np.ogrid[:count, :height, :width, :channels]
    waves = np.sin(0.1 * t + 3 * y / height + 2 * c) + np.cos(4 * x / width + c - 0.05 * t)
    return np.rint(127.5 + 60 * waves).astype(np.uint8)


def decode(path):
    """The video stream's properties and its frames, uint8 [N, H, W, 3]."""
    with av.open(str(path)) as file:
        (stream,) = file.streams
        pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(stream)])
        return stream, float(stream.duration * stream.time_base), pictures


@pytest.mark.parametrize("channels", [1, 3])
def test_a_video_shows_its_frames_enlarged_to_squares(tmp_path, channels):
    frames = smooth_frames(30, 16, 16, channels)
    save_animation(tmp_path / "walk.mp4", frames, seconds_per_frame=1 / 12)
    stream, seconds, pictures = decode(tmp_path / "walk.mp4")
    assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert stream.average_rate == 12
    assert seconds == pytest.approx(30 / 12)
    assert pictures.shape == (30, 512, 512, 3)
    expected = frames.repeat(32, axis=1).repeat(32, axis=2).astype(int)
    error = np.abs(pictures - expected)
    assert error.mean() < 1.5 and np.quantile(error, 0.999) <= 8
    assert np.abs((pictures - expected).mean((1, 2))).max() < 2


def test_saturated_colours_come_back(tmp_path):
    """The matrix of BT.601 would turn pure green by 20 and more."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (90, 160, 30)]
    frames = np.array(colours, np.uint8)[:, None, None] * np.ones((8, 8, 1), np.uint8)
    save_animation(tmp_path / "walk.mp4", frames, 0.5)
    stream, _, pictures = decode(tmp_path / "walk.mp4")
    context = stream.codec_context
    assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
    assert np.abs(pictures.mean((1, 2)) - colours).max() < 4


def test_odd_sides_repeat_a_row_or_a_column(tmp_path):
    frames = smooth_frames(3, 513, 515)
    save_animation(tmp_path / "walk.mp4", frames, 0.1)
    _, _, pictures = decode(tmp_path / "walk.mp4")
    assert pictures.shape == (3, 514, 516, 3)
    assert np.abs(pictures[:, :513, :515].astype(int) - frames).mean() < 1.5
    assert np.abs(pictures[:, -1].astype(int) - pictures[:, -2]).mean() < 1.5


@pytest.mark.parametrize(
    ("height", "width", "factor"),
    [
        *[(64, 64, 8), (8, 8, 64), (128, 128, 4), (512, 512, 1), (266, 266, 2), (600, 400, 2)],
        *[(66, 1058, 3), (64, 4096, 1), (64, 9000, 1), (1024, 1024, 1)],
    ],
)
def test_small_frames_are_enlarged_by_whole_factors(height, width, factor):
    assert _enlargement(height, width) == _enlargement(width, height) == factor


@pytest.mark.parametrize(
    "rate", [Fraction(50), Fraction(1, 60), Fraction(120, 7), Fraction(30000, 1001)]
)
def test_a_video_lasts_as_long_as_asked(tmp_path, rate):
    save_animation(tmp_path / "walk.mp4", smooth_frames(7, 512, 512), float(1 / rate))
    _, seconds, pictures = decode(tmp_path / "walk.mp4")
    assert len(pictures) == 7
    assert seconds == pytest.approx(7 / rate, rel=1e-4, abs=1e-4)


def test_one_frame_is_a_video(tmp_path):
    save_animation(tmp_path / "walk.mp4", smooth_frames(1, 16, 16), 2.0)
    _, seconds, pictures = decode(tmp_path / "walk.mp4")
    assert (seconds, len(pictures)) == (2.0, 1)


def test_frames_are_encoded_as_they_come(tmp_path):
    seen: list[weakref.ref] = []
    most_alive = 0

    def frames():
        nonlocal most_alive
        for _ in range(100):
            frame = np.zeros((512, 512, 1), np.uint8)
            seen.append(weakref.ref(frame))
            most_alive = max(most_alive, sum(each() is not None for each in seen))
            yield frame

    save_animation(tmp_path / "walk.mp4", frames(), 0.1, count=100)
    assert most_alive <= 4


def test_a_frame_that_is_too_large_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"16400x2 pixels are too large for an \.mp4"):
        save_animation(tmp_path / "walk.mp4", np.zeros((1, 2, 16400, 1), np.uint8), 0.1)
    assert not any(tmp_path.iterdir())


def test_without_pyav_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r'pip install "dcgan\[video\]"'):
        animation_format("walk.mp4")
    assert animation_format("walk.gif") == "GIF"
