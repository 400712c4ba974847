"""Runs that are killed again and again end as those that were left alone.

`DCGAN_KILLS=100 pytest -s tests/test_kills.py` kills more often than the test suite does.
"""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.layout import best_checkpoint_path, list_checkpoints
from dcgan.runtime.atomic_files import PARTIAL_SUFFIX
from tests.conftest import write_packed
from tests.runtime.test_distributed import TORCHRUN

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("DCGAN_KILLS", "2"))
OF_THE_CLOCK = ("seconds", "images_per_second")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """60 noise images of two classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(60, dtype=np.int64) % 2
    folder = tmp_path_factory.mktemp("labelled") / "noise"
    return write_packed(folder, images, labels, ("even", "odd"), "class")


@dataclasses.dataclass
class Job:
    """A training command, and the run folder it trains in."""

    command: list
    run: Path

    def begin(self) -> subprocess.Popen:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with open(self.run.with_suffix(".log"), "a") as log:
            return subprocess.Popen(self.command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def finish(self) -> None:
        assert self.begin().wait(300) == 0, self.said()[-2000:]

    def said(self) -> str:
        return self.run.with_suffix(".log").read_text(errors="replace")

    def last_step(self) -> int:
        return max((int(path.stem[5:]) for path in list_checkpoints(self.run)), default=0)


def job(data: Path, run: Path, *flags, launcher=(sys.executable,), steps: int) -> Job:
    """With everything on that has a state of its own."""
    command = [*launcher, "train.py", "--data", data, "--out", run, "--steps", str(steps)]
    command += ["--width", "4", "--latent-dim", "8", "--batch-size", "8", "--device", "cpu"]
    command += ["--log-every", "3", "--sample-every", "7", "--keep", "2", "--penalty-every", "4"]
    command += ["--eval-every", "10", "--eval-images", "20", "--augment-p", "adaptive"]
    command += ["--lr-decay", "cosine", "--conditional", "--minibatch-std", *flags]
    return Job(command, run)


def lines(run: Path) -> list[dict]:
    found = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in OF_THE_CLOCK} for line in found]


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag not in OF_THE_CLOCK]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


def same(one: Path, other: Path) -> None:
    """Every tensor of the last checkpoint, every line and point of the log, every picture."""
    first, second = find_checkpoint(one), find_checkpoint(other)
    assert first.step == second.step
    tensors, others = load_file(first.path), load_file(second.path)
    assert set(tensors) == set(others)
    differ = [name for name in tensors if not torch.equal(tensors[name], others[name])]
    assert differ == []
    headers = [
        {k: v for k, v in found.header.items() if k not in ("seconds", "config", "metrics")}
        for found in (first, second)
    ]
    assert headers[0] == headers[1]
    assert lines(one) == lines(other)
    assert curves(one) == curves(other)
    pictures = {path.name: path.read_bytes() for path in (one / "samples").iterdir()}
    assert pictures == {path.name: path.read_bytes() for path in (other / "samples").iterdir()}
    best = [load_file(best_checkpoint_path(run)) for run in (one, other)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


def half_written(run: Path) -> list[Path]:
    return [path for path in run.rglob(f"*{PARTIAL_SUFFIX}*") if path.exists()]


@pytest.mark.parametrize("save_every", [1, 4] if KILLS > 2 else [1])
def test_kills_at_random_moments_lose_no_saved_step(labelled, tmp_path, save_every):
    """Most of the time a checkpoint is being written where every step has one."""
    rng, writing = random.Random(save_every), 0
    steps, flags = 25 * KILLS + 40, ("--save-every", str(save_every))
    killed = job(labelled, tmp_path / "killed", *flags, steps=steps)
    for _ in range(KILLS):
        before, process = killed.last_step(), killed.begin()
        if rng.random() < 0.2:  # while it starts, sweeps, reads its checkpoint
            time.sleep(rng.uniform(1, 6))
        else:
            while killed.last_step() == before and process.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.15))
        process.kill()
        assert process.wait(60) in (-signal.SIGKILL, 0), killed.said()[-2000:]
        writing += bool(half_written(killed.run))
    reached = killed.last_step()
    killed.finish()
    assert "skipped" not in killed.said(), "a file with its final name was damaged"
    assert half_written(killed.run) == [], "what a killed run was writing is swept away"
    whole = job(labelled, tmp_path / "whole", *flags, steps=steps)
    whole.finish()
    same(whole.run, killed.run)
    print(f"\n{KILLS} kills up to step {reached} of {steps}, {writing} of them in mid-write")


def test_a_kill_while_writing_a_checkpoint_leaves_the_one_before(labelled, tmp_path):
    """A checkpoint large enough that this takes a while."""
    flags = ("--save-every", "2", "--width", "32")
    killed = job(labelled, tmp_path / "killed", *flags, steps=20)
    for _ in range(3):
        process = killed.begin()
        while not any(half_written(killed.run / "checkpoints")) and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.wait(60)
        for path in list_checkpoints(killed.run):
            checkpoint.read(path)
        if process.returncode == 0:
            break
    assert half_written(killed.run), "it was killed too late"
    killed.finish()
    whole = job(labelled, tmp_path / "whole", *flags, steps=20)
    whole.finish()
    same(whole.run, killed.run)


def worker(torchrun: subprocess.Popen, rank: int) -> int | None:
    """Process id of a rank under torchrun."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            environment = (folder / "environ").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            continue
        if parent == torchrun.pid and b"RANK=%d" % rank in environment:
            return int(folder.name)
    return None


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_torchrun_restarts_all_processes_after_one_is_killed(labelled, tmp_path):
    """The job goes on from the last checkpoint, and ends as one that nobody disturbed."""
    steps, flags = 60, ("--save-every", "5")
    elastic = [*TORCHRUN, "--max-restarts=3"]
    whole = job(labelled, tmp_path / "whole", *flags, launcher=TORCHRUN, steps=steps)
    whole.finish()
    killed = job(labelled, tmp_path / "killed", *flags, launcher=elastic, steps=steps)
    process = killed.begin()
    for rank in (1, 0):
        before = killed.last_step()
        while killed.last_step() < before + 10:
            assert process.poll() is None, killed.said()[-3000:]
            time.sleep(0.02)
        os.kill(worker(process, rank), signal.SIGKILL)
    assert process.wait(300) == 0, killed.said()[-3000:]
    same(whole.run, killed.run)


def test_a_second_signal_ends_the_run_at_once_and_leaves_its_checkpoint(labelled, tmp_path):
    stuck = (
        "import sys, time; from pathlib import Path\n"
        "from dcgan.runs import checkpoint\n"
        "save = checkpoint.save\n"
        "def slow(path, *args):\n"
        "    if path.stem > 'step-00000004':\n"
        f"        Path({str(tmp_path / 'writing')!r}).touch(); time.sleep(600)\n"
        "    save(path, *args)\n"
        "checkpoint.save = slow\n"
        "from dcgan import cli; sys.exit(cli.main())"
    )
    begun = job(labelled, tmp_path / "run", "--save-every", "4", steps=10**6)
    begun.command = [sys.executable, "-c", stuck, "train", *begun.command[2:]]
    process = begun.begin()
    while not (tmp_path / "writing").exists():
        assert process.poll() is None, begun.said()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)  # it waits for what is being written
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130
    assert begun.said().splitlines()[-1] == "stopped at once"
    assert find_checkpoint(begun.run).step == 4
