"""GIF, WebP and animated PNG files, read back by Pillow; what they have in common with MP4."""

import os

import numpy as np
import pytest
from PIL import Image

from dcgan.animation import animation_format, save_animation
from dcgan.errors import UsageError, UserError

ALL = [".gif", ".webp", ".png", ".mp4"]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_repeats_all_frames_in_order(tmp_path, suffix):
    frames = [np.full((8, 8, 3), v, np.uint8) for v in (0, 90, 180, 255)]
    path = tmp_path / f"walk{suffix}"
    save_animation(path, frames, seconds_per_frame=0.05)
    with Image.open(path) as file:
        assert file.n_frames == 4
        assert file.info["loop"] == 0  # for ever
        for i, frame in enumerate(frames):
            file.seek(i)
            assert np.abs(np.asarray(file.convert("RGB")).astype(int) - frame).max() <= 1
            assert file.info["duration"] == 50


@pytest.mark.parametrize(("suffix", "step"), [(".gif", 10), (".webp", 1)])
def test_an_animation_lasts_as_long_as_asked(tmp_path, suffix, step):
    """60 frames in one second are 16.7 ms each, which neither format can store for one frame."""
    frames = [np.full((4, 4, 3), 4 * i, np.uint8) for i in range(60)]
    save_animation(tmp_path / f"a{suffix}", frames, seconds_per_frame=1 / 60)
    durations = []
    with Image.open(tmp_path / f"a{suffix}") as file:
        for i in range(file.n_frames):
            file.seek(i)
            file.load()
            durations.append(file.info["duration"])
    assert sum(durations) == 1000
    assert max(durations) - min(durations) == step


@pytest.mark.parametrize(("suffix", "seconds"), [(".gif", 400), (".png", 70_000)])
def test_a_duration_that_the_format_cannot_store_is_a_usage_error(tmp_path, suffix, seconds):
    path = tmp_path / f"long{suffix}"
    frames = np.zeros((3, 8, 8, 3), np.uint8)  # equal frames, which Pillow merges in a GIF
    if suffix == ".png":  # and leaves out in a PNG
        frames += np.arange(3, dtype=np.uint8)[:, None, None, None]
    with pytest.raises(UsageError, match="fewer --seconds"):
        save_animation(path, frames, seconds)
    assert not any(tmp_path.iterdir())
    save_animation(tmp_path / "long.webp", frames, min(seconds, 400))


def test_an_unknown_animation_format_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"walk\.avi"):
        animation_format(tmp_path / "walk.avi")


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_iterator_gives_the_same_file_as_a_list(tmp_path, suffix, channels):
    frames = np.random.default_rng(0).integers(0, 256, (5, 8, 6, channels), dtype=np.uint8)
    save_animation(tmp_path / f"list{suffix}", list(frames), 0.1)
    save_animation(tmp_path / f"iterator{suffix}", iter(frames), 0.1, count=5)
    written = {file.read_bytes() for file in tmp_path.iterdir()}
    assert len(written) == 1
    with Image.open(tmp_path / f"iterator{suffix}") as file:
        assert file.n_frames == 5


@pytest.mark.parametrize("suffix", ALL)
def test_frames_that_make_no_animation_are_usage_errors(tmp_path, suffix):
    path = tmp_path / f"walk{suffix}"
    with pytest.raises(UsageError, match="needs a frame"):
        save_animation(path, [], 0.1)
    frames = [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 6, 3), np.uint8)]
    with pytest.raises(UsageError, match="in one animation"):
        save_animation(path, frames, 0.1)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ALL)
def test_what_cannot_be_written_is_named(tmp_path, suffix):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / f"walk{suffix}"
    with pytest.raises(UserError, match=f"cannot write .*walk{suffix}"):
        save_animation(path, np.zeros((2, 8, 8, 3), np.uint8), 0.1)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("suffix", "most"), [(".gif", 2**19), (".webp", 2**17), (".png", 2**16)])
def test_frames_that_do_not_fit_in_memory_are_refused_before_they_are_drawn(tmp_path, suffix, most):
    def frames():
        yield np.zeros((64, 64, 3), np.uint8)
        raise StopAsyncIteration("the second frame is drawn")

    with pytest.raises(UsageError, match=r"frames of 64x64 pixels take 2\.15 GB.*\.mp4"):
        save_animation(tmp_path / f"walk{suffix}", frames(), 0.1, count=most + 1)
    with pytest.raises(StopAsyncIteration):
        save_animation(tmp_path / f"walk{suffix}", frames(), 0.1, count=most)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("ending", [".gif", ".webp", ".png"])
def test_frames_of_no_time_are_refused(tmp_path, ending, seconds):
    out = tmp_path / f"a{ending}"
    with pytest.raises(UsageError, match="a frame must last more than 0 seconds"):
        save_animation(out, np.zeros((2, 8, 8, 3), np.uint8), seconds)
    assert not out.exists()
