"""What is written in the background is what training handed over, and in that order."""

import contextlib
import copy
import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from dcgan import images, sampling
from dcgan.errors import UserError
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.layout import list_checkpoints, sample_grid_path
from dcgan.runs.loading import load_generator
from dcgan.runtime import device
from dcgan.training import loop
from dcgan.training.batches import BatchLoader
from dcgan.training.periodic_tasks import PeriodicTasks
from dcgan.training.sample_grids import GRID_SEEDS
from dcgan.training.trainer import Trainer
from tests.conftest import fit

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


def logged(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


@pytest.fixture
def start(tiny, packed, tmp_path):
    """`start(save_every=3)`: a trainer, its tasks, and a function that goes on some steps."""

    def starting(**changes):
        config = tiny(
            **{"steps": 99, "log_every": 99, "sample_every": 99, "save_every": 99} | changes
        )
        ours = Trainer(config, CPU)
        tasks = PeriodicTasks(ours, packed, tmp_path / "run")
        batches = BatchLoader(packed.images, config, CPU).starting_at(0)

        def go(steps):
            for batch in itertools.islice(batches, steps):
                tasks.after_step(ours.update(batch))

        return ours, tasks, go

    return starting


def test_the_log_is_flushed_before_the_checkpoint_of_its_step(start, tmp_path, flushes):
    """Else a power cut could leave a checkpoint whose steps were never logged."""
    run = tmp_path / "run"
    _, tasks, go = start(log_every=2, save_every=4)
    with tasks:
        flushes.note(lambda: (logged(run), [path.name for path in list_checkpoints(run)]))
        go(4)
        tasks.flush()
        log, events = run / "metrics.jsonl", next(run.glob("events.out.*"))
        seen = dict(flushes)
        for path in (log, events):
            assert seen[path.stat().st_ino] == ([2, 4], [])


def test_a_checkpoint_holds_the_state_of_its_step_when_written_later(start, tmp_path):
    ours, tasks, go = start()
    gate = threading.Event()
    with tasks:
        go(3)
        tasks.recorder.writer.submit(gate.wait)
        sampling.recalibrate_batch_norm(ours.G_ema)
        state = tasks.state()
        expected = {name: value.clone() for name, value in state.tensors.items()}
        tasks.save()
        go(2)
        gate.set()
    found = find_checkpoint(tmp_path / "run")
    assert found.step == 3
    assert found.header["summed_steps"] == 3
    written = load_file(found.path)
    assert set(written) == set(expected)
    for name, value in expected.items():
        assert torch.equal(written[name], value), name
    stayed = {name for name, value in state.tensors.items() if value.equal(expected[name])}
    may_stay = {"augment.p", "sums.augment_p", "memorization.means"} | {  # the others count images
        f"sums.{count}_{kind}" for count in ("accuracy", "saturated") for kind in ("real", "fake")
    }
    measured = {f"ema.{name}" for name, _ in ours.G_ema.named_buffers()}
    assert stayed <= may_stay | measured, "the test must see the tensors change"


def test_batch_norm_is_recalibrated_before_every_use_of_the_ema(start, tmp_path, monkeypatch):
    """In the checkpoint, in the grid and in the evaluation, at whatever steps they are due."""
    judged = []
    ours, tasks, go = start(save_every=3, sample_every=2, eval_every=5, eval_images=10, lr_G=0.1)

    def own() -> Tensor:
        twin = copy.deepcopy(ours.G_ema)
        sampling.recalibrate_batch_norm(twin)
        return statistics(twin)

    with tasks:
        monkeypatch.setattr(
            tasks.evaluator, "scores", lambda G: judged.append(statistics(G)) or {"frechet": 1.0}
        )
        drawn = []
        monkeypatch.setattr(
            tasks.recorder, "_add_samples", lambda *_: drawn.append(statistics(ours.G_ema))
        )
        go(2)
        tasks.flush()
        assert torch.equal(drawn[0], own())
        go(1)
        tasks.flush()
        saved = statistics(load_generator(tmp_path / "run"))
        assert torch.equal(saved, own()) and not torch.equal(saved, drawn[0])
        go(2)
        assert torch.equal(judged[0], own()) and not torch.equal(judged[0], saved)


def statistics(G) -> Tensor:
    return torch.cat([b.clone() for b in G.buffers() if b.is_floating_point()])


def test_a_grid_shows_its_step_when_written_later(start, tmp_path):
    ours, tasks, go = start()
    gate = threading.Event()
    with tasks:
        go(2)
        sampling.recalibrate_batch_norm(ours.G_ema)
        expected = sampling.sample_grid(ours.G_ema, GRID_SEEDS)
        raw = images.encode_png(sampling.sample_grid(ours.G, GRID_SEEDS))
        tasks.recorder.writer.submit(gate.wait)
        tasks.write_samples()
        go(2)
        gate.set()
    with Image.open(sample_grid_path(tmp_path / "run", 2)) as grid:
        assert (np.asarray(grid) == expected).all()
    (event,) = EventAccumulator(str(tmp_path / "run")).Reload().Images("samples/raw")
    assert (event.step, event.encoded_image_string) == (2, raw)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_grids_are_sampled_in_the_precision_of_the_run(start, tmp_path, monkeypatch, precision):
    monkeypatch.setattr(
        device, "has_native_bf16", lambda _: precision == "fp32"
    )  # what auto would take
    ours, tasks, go = start(precision=precision, width=16)
    with tasks:
        go(2)
        sampling.recalibrate_batch_norm(ours.G_ema)
        drawn = sampling.sample(ours.G_ema, GRID_SEEDS, precision=precision)
        expected = sampling.grid(drawn)
        tasks.write_samples()
    with Image.open(sample_grid_path(tmp_path / "run", 2)) as grid:
        assert (np.asarray(grid) == expected).all()


def test_temporaries_of_a_killed_run_are_deleted_and_nothing_else(start, tmp_path):
    run = tmp_path / "run"
    stale = [
        ".config.json.0123abcd.partial",
        ".metrics.jsonl.0123abcd.partial",
        "samples/.step-00000002.png.0123abcd.partial",
        "checkpoints/.step-00000002.safetensors.0123abcd.partial",
        "checkpoints/.tmpAb3dEf",
    ]
    others = [
        ".grid.png.0123abcd.partial",  # sampling may be at it
        ".tmpAb3dEf",
        "checkpoints/.tmp",
        "checkpoints/.tmp-mine",
        "checkpoints/best.safetensors",
        "checkpoints/.step-mine.partial",
        "samples/step-00000002.png.0123abcd.partial",
    ]
    for name in (*stale, *others):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("")
    _, tasks, _ = start()
    with tasks:
        pass
    left = {str(path.relative_to(run)) for path in run.rglob("*")}
    assert not left & set(stale)
    assert left >= set(others)


def test_temporaries_stay_where_the_folder_cannot_be_locked(start, tmp_path, monkeypatch, capsys):
    """They may be those of a run on another machine."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    theirs = tmp_path / "run" / "checkpoints" / ".step-00000002.safetensors.0123abcd.partial"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("")
    _, tasks, _ = start()
    with tasks:
        pass
    assert theirs.exists()
    assert f"{tmp_path / 'run'} cannot be locked (No locks available)" in capsys.readouterr().err


def test_a_second_run_in_a_folder_is_refused_until_the_first_ends(start, tiny, packed, tmp_path):
    """Two runs would sweep away what the other one writes, and log every step twice."""
    _, tasks, go = start()
    with tasks:
        go(1)
        before = set((tmp_path / "run").rglob("*"))
        with pytest.raises(UserError, match=r"another process is training in .*run"):
            fit(tiny(), packed, tmp_path / "run", CPU)
        assert set((tmp_path / "run").rglob("*")) == before
    fit(tiny(), packed, tmp_path / "run", CPU)


def test_a_run_that_cannot_start_leaves_its_folder_unlocked(start, tiny, packed, tmp_path):
    """Here the evaluator fails, after the recorder has locked the folder and started its thread."""
    _, tasks, _ = start(eval_every=1, eval_images=10)
    tasks.packed = few = copy.copy(packed)
    object.__setattr__(few, "images", packed.images[:5])
    with pytest.raises(UserError, match="5 images are too few"), tasks:
        pass
    assert not [t for t in threading.enumerate() if t.name.startswith("writer")]
    fit(tiny(), packed, tmp_path / "run", CPU)


def test_a_second_checkpoint_waits_until_the_first_is_written(start):
    _, tasks, go = start()
    gate, saved = threading.Event(), threading.Event()

    def save_again():
        tasks.save()
        saved.set()

    with tasks:
        go(1)
        tasks.recorder.writer.submit(gate.wait)
        tasks.save()
        go(1)
        second = threading.Thread(target=save_again)
        second.start()
        early = saved.wait(0.1)
        gate.set()
        assert not early and saved.wait(30)
        second.join()


def test_a_checkpoint_is_written_after_the_logs_of_its_step(start, tmp_path, monkeypatch):
    _, tasks, go = start(log_every=2, sample_every=2, save_every=2)
    save, seen = checkpoint.save, []

    def spy(path, header, tensors):
        events = EventAccumulator(str(tmp_path / "run"), size_guidance={"images": 0}).Reload()
        grid = sample_grid_path(tmp_path / "run", header["step"]).exists()
        points, drawn = events.Scalars("loss_D")[-1].step, events.Images("samples/raw")[-1].step
        seen.append((header["step"], logged(tmp_path / "run")[-1], points, drawn, grid))
        save(path, header, tensors)

    monkeypatch.setattr(checkpoint, "save", spy)
    with tasks:
        go(5)
    assert seen == [(2, 2, 2, 2, True), (4, 4, 4, 4, True)]


def test_a_disk_error_stops_the_run_and_is_reported_once(start, tmp_path):
    ours, tasks, go = start(log_every=1)
    with pytest.raises(UserError, match=r"cannot write .*run: No such file"), tasks:
        go(3)
        tasks.flush()
        shutil.rmtree(tmp_path / "run")
        go(50)
    assert 3 < ours.step < 53
    assert not (tmp_path / "run").exists(), "nothing is written after an error"


@pytest.mark.parametrize("signals", [[], [signal.SIGTERM]])
def test_training_waits_for_the_last_checkpoint(tiny, packed, tmp_path, monkeypatch, signals):
    """At the end and when asked to stop: where it fails, nothing may say that all is saved."""

    def refuse(*_):
        time.sleep(0.2)
        raise UserError("cannot write it: No space left on device")

    monkeypatch.setattr(checkpoint, "save", refuse)
    monkeypatch.setattr(loop, "collect_stop_signals", lambda: contextlib.nullcontext(signals))
    with pytest.raises(UserError, match="No space left"):
        fit(tiny(save_every=99), packed, tmp_path / "run", CPU)


def begin(packed, run, lines, *flags, **options):
    """Start training in a process of its own, which first runs `lines`."""
    command = [
        sys.executable,
        "-c",
        f"{lines}\nfrom dcgan import cli\nsys.exit(cli.main())",
        "train",
    ]
    command += ["--data", packed.folder, "--out", run, "--width", "4", "--batch-size", "8"]
    command += ["--device", "cpu", "--steps", "1000000", "--log-every", "1", *flags]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def until(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_a_pending_write_waits_for_it(packed, tmp_path, signum):
    """What is said to be saved is on disk, and is of the step that is said."""
    slow = (
        "import sys, time; from pathlib import Path\n"
        "from dcgan.runs import checkpoint\n"
        "save = checkpoint.save\n"
        "def slow(*args):\n"
        f"    Path({str(tmp_path / 'writing')!r}).touch(); time.sleep(1); save(*args)\n"
        "checkpoint.save = slow"
    )
    process = begin(packed, tmp_path / "run", slow, "--save-every", "3")
    until((tmp_path / "writing").exists, process)
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signum, err
    assert "Traceback" not in err
    found = find_checkpoint(tmp_path / "run")
    assert f"stopped after step {found.step} of" in err.splitlines()[-1]
    assert all(value.isfinite().all() for value in load_file(found.path).values())
    assert logged(tmp_path / "run")[-1] == found.step
    assert not list(tmp_path.rglob("*.partial"))
