"""`dcgan train`, `sample` and `walk` from end to end."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from dcgan import cli
from dcgan.cli.commands.sampling import _show_progress
from dcgan.runs.layout import checkpoint_path
from dcgan.training import loop
from tests.cli.running import ROOT, run_python


def test_grids_files_and_arrays_show_the_same_images(capsys, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sample", str(run)]) == 0
    assert capsys.readouterr().out == "samples.png\n"
    with Image.open("samples.png") as grid:
        assert grid.size == (8 * 18 + 2, 8 * 18 + 2)
    with Image.open("samples.png") as drawn, Image.open(run / "samples/step-00000006.png") as seen:
        assert (np.asarray(drawn) == np.asarray(seen)).all(), "the grid of training, by seed"
    assert cli.main(["sample", str(run), "--rows", "2", "--cols", "3", "--out", "g.png"]) == 0
    with Image.open("g.png") as grid:
        assert grid.size == (3 * 18 + 2, 2 * 18 + 2)
    flags = ["--seeds", "5,2", "--each", "each", "--npy", "a.npy"]
    assert cli.main(["sample", str(run), *flags]) == 0
    assert sorted(os.listdir("each")) == ["seed-00000002.png", "seed-00000005.png"]
    with Image.open("each/seed-00000002.png") as image:
        assert (np.asarray(image) == np.load("a.npy")[1]).all()
    assert cli.main(["sample", str(run), "--raw", "--count", "4", "--npy", "raw.npy"]) == 0
    assert np.load("raw.npy").shape == (4, 16, 16, 3)
    assert (np.load("raw.npy")[2] != np.load("a.npy")[1]).any()


def test_training_prints_no_sample_grid_where_the_run_has_none(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "train", lambda config: checkpoint_path(config.out, 5))
    assert cli.main(["train", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "sample grid" not in out and str(checkpoint_path(tmp_path, 5)) in out


def test_sampling_imports_nothing_that_it_does_not_use(run, tmp_path):
    """Most of the start is the import of torch; its compiler would double the time."""
    probe = (
        "import sys; from dcgan import cli\n"
        f"assert cli.main(['sample', {str(run)!r}, '--each', {str(tmp_path)!r}]) == 0\n"
        "heavy = {'torch._dynamo', 'torch._inductor', 'torch.onnx', 'sympy', 'torchvision',\n"
        "         'matplotlib', 'tensorboard', 'torch.utils.tensorboard', 'scipy', 'lmdb',\n"
        "         'dcgan.training.loop'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = run_python("-c", probe)
    assert done.returncode == 0, done.stderr
    assert len(os.listdir(tmp_path)) == 64


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_sampling_and_leaves_complete_files(run, tmp_path, signum, code):
    command = [sys.executable, "sample.py", run, "--count", "1000000", "--each", tmp_path]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while not any(tmp_path.glob("seed-*.png")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signum)
        _, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert err.startswith("sample.py: ") and err.count("\n") == 1, err
    paths = list(tmp_path.iterdir())
    assert paths
    for path in paths:
        assert re.fullmatch(r"seed-\d{8}\.png", path.name)
        with Image.open(path) as image:
            image.load()


def test_long_sampling_shows_a_progress_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    times = iter(range(0, 1000, 3))
    monkeypatch.setattr("tqdm.std.time", lambda: next(times))
    chunks = [np.zeros((n, 1, 1, 3), np.uint8) for n in (64, 36)]
    assert [len(chunk) for chunk in _show_progress(iter(chunks), 100)] == [64, 36]
    err = capsys.readouterr().err
    assert "64/100" in err and "100/100" in err


def test_walk_visits_the_images_of_its_seeds(run, tmp_path):
    out = tmp_path / "walk.webp"
    args = ["walk", str(run), "--seeds", "3,14", "--frames", "6", "--out", str(out)]
    assert cli.main(args) == 0
    cli.main(["sample", str(run), "--seeds", "3,14", "--npy", str(tmp_path / "a.npy")])
    stops = np.load(tmp_path / "a.npy").astype(int)
    with Image.open(out) as walk:
        assert walk.n_frames == 6
        for frame, stop in ((0, 0), (3, 1)):
            walk.seek(frame)
            assert np.abs(np.asarray(walk.convert("RGB")) - stops[stop]).max() <= 1


@pytest.mark.slow
def test_the_scripts_train_resume_and_sample(tmp_path):
    """From the built-in faces to a grid, in a folder with a space in its name."""
    flags = ["--size", "32", "--width", "4", "--batch-size", "8", "--count", "80"]
    flags += ["--data-cache", tmp_path / "cache", "--out", tmp_path / "my run"]
    first = run_python("train.py", "faces", *flags, "--steps", "3")
    assert first.returncode == 0, first.stderr
    for words in ("samples/step-00000003.png", "step-00000003.safetensors", "tensorboard --logdir"):
        assert words in first.stdout
    again = run_python("train.py", "faces", *flags, "--steps", "5")
    assert again.returncode == 0, again.stderr
    assert "step-00000005.safetensors" in again.stdout
    done = run_python("train.py", "faces", *flags, "--steps", "5")
    assert done.returncode == 0, done.stderr
    sampled = run_python("sample.py", tmp_path / "my run", "--out", tmp_path / "grid.png")
    assert sampled.returncode == 0, sampled.stderr
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (8 * 34 + 2, 8 * 34 + 2)
