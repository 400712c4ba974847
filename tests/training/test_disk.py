"""A disk that is full, or fills up: one clear line, and what was there before is whole."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dcgan.data import open_packed
from dcgan.runs.checkpoint_folder import latest_checkpoint
from dcgan.runs.layout import list_checkpoints

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 2.5 MB, where this user may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2500k", "none", folder]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def dcgan(*words) -> subprocess.Popen:
    command = [sys.executable, "-m", "dcgan", *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def only_line(process: subprocess.Popen, bar: str) -> str:
    """What a command says that ends with 1, beside its progress bar."""
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    (line,) = [line for line in re.split("[\r\n]+", err) if line.strip() and bar not in line]
    return line


FULL = r".*: (.*No space left on device|it takes [\d.]+ [kM]B, and only [\d.]+ [kM]B are free)$"


def ballast(folder: Path, size: int) -> Path:
    (folder / "ballast").write_bytes(bytes(size))
    return folder / "ballast"


def test_a_disk_too_full_for_checkpoints_stops_the_run(packed, small_disk):
    run = small_disk / "run"
    command = ["train", "--data", packed.folder, "--out", run, "--width", 4, "--batch-size", 8]
    command += ["--device", "cpu", "--steps", 10**6, "--log-every", 1, "--save-every", 2]
    line = only_line(dcgan(*command, "--keep", 0), "training:")
    assert re.match(rf"dcgan: cannot write {run}{FULL}", line)
    assert latest_checkpoint(run).path == list_checkpoints(run)[-1], "none is damaged"
    assert not list(small_disk.rglob("*.partial"))
    EventAccumulator(str(run)).Reload()  # what is there of it can be read
    # With room again the same command goes on.
    step = latest_checkpoint(run).step
    for path in list_checkpoints(run)[:-2]:
        path.unlink()
    process = dcgan(*command, "--steps", step + 4)
    said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert latest_checkpoint(run).step == step + 4


def test_a_disk_too_full_for_logs_stops_the_run(packed, small_disk):
    """No checkpoint falls due: it is the event file or metrics.jsonl that finds the disk full."""
    run = small_disk / "run"
    command = ["train", "--data", packed.folder, "--out", run, "--width", 4, "--batch-size", 8]
    command += ["--device", "cpu", "--steps", 10**6, "--log-every", 1, "--sample-every", 3]
    process = dcgan(*command, "--save-every", 2, "--keep", 1)
    while not list_checkpoints(run):
        assert process.poll() is None
        time.sleep(0.02)
    free = shutil.disk_usage(small_disk).free
    ballast(small_disk, max(free - 400_000, 0))
    line = only_line(process, "training:")
    assert re.match(rf"dcgan: cannot write {run}{FULL}", line)
    assert latest_checkpoint(run).path == list_checkpoints(run)[-1], "none is damaged"
    for path in (run / "samples").glob("step-*.png"):
        Image.open(path).load()


@pytest.mark.parametrize("flag", ["--out", "--each", "--npy"])
def test_samples_that_do_not_fit_on_the_disk_leave_nothing(run, small_disk, flag):
    free = shutil.disk_usage(small_disk).free
    ballast(small_disk, free - 50_000)
    target = small_disk / ("a.npy" if flag == "--npy" else "a.png" if flag == "--out" else "a")
    line = only_line(dcgan("sample", run, "--count", 200, flag, target), "sampling:")
    assert re.match(rf"dcgan: cannot write {target}{FULL}", line)
    if flag == "--each":  # those that did fit are whole
        assert all(np.asarray(Image.open(p)).shape == (16, 16, 3) for p in target.iterdir())
        assert 0 < len(list(target.glob("*.png"))) == len(list(target.iterdir())) < 200
        shutil.rmtree(target)
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_a_disk_that_fills_up_while_packing_leaves_nothing(small_disk):
    """There is room when it begins."""
    out = small_disk / "packed"
    process = dcgan("prepare", "faces", "--count", 700, "--size", 32, "--out", out)
    while not list(small_disk.glob(".packed.*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    ballast(small_disk, 1_500_000)
    line = only_line(process, "packing:")
    assert re.match(rf"dcgan: cannot write {out}{FULL}", line)
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]
    (small_disk / "ballast").unlink()
    process = dcgan("prepare", "faces", "--count", 700, "--size", 32, "--out", out)
    assert (process.communicate(timeout=120), process.returncode)[1] == 0
    assert np.asarray(open_packed(out).images).any()
