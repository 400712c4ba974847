import dataclasses
import functools
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext, redirect_stderr
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dcgan.data import open_packed
from dcgan.errors import UsageError, UserError
from dcgan.runs import checkpoint
from dcgan.runs.background_writer import BackgroundWriter
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runtime import distributed, turns
from dcgan.runtime.signals import Stopped
from dcgan.training import loop
from dcgan.training.batches import BatchLoader
from dcgan.training.cuda_graphs import can_capture
from dcgan.training.periodic_evaluation import Evaluator
from dcgan.training.trainer import Trainer
from tests.conftest import TINY, fit
from tests.processes import in_processes

ROOT = Path(__file__).parents[2]


def gradient(network: torch.nn.Module, batch: torch.Tensor) -> list[torch.Tensor]:
    network.zero_grad()
    network(batch).square().mean().backward()
    return [p.grad.clone() for p in network.parameters()]


def rank_main(rank, folder, out, environment):
    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    with distributed.process_group(torch.device("cpu")) as on:
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 1, 3))
        network.to(memory_format=torch.channels_last)
        for p in network.parameters():
            torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(p.numel()))
        x = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(1))
        mine = gradient(network, x[4 * rank : 4 * rank + 4])
        distributed.average_tensors(mine)
        for reduced, whole in zip(mine, gradient(network, x), strict=True):
            torch.testing.assert_close(reduced, whole)
        with pytest.raises(RuntimeError, match="view"):
            distributed.average_tensors([torch.zeros(4, 4)[:, :2]])
        assert distributed.max_over_processes(5 * rank, on) == 5
        assert not can_capture(torch.device("cuda")), "Gloo's averages are no kernels"

        state = Trainer(TINY, on)
        packed = open_packed(folder)
        batches = BatchLoader(packed.images, TINY, on, rank, 2)
        for step in range(3):
            state.update(batches.at(step))
        values = [*state.G.state_dict().values(), *state.D.state_dict().values()]
        flat = torch.cat([v.double().flatten() for v in values])
        theirs = flat.clone()
        torch.distributed.broadcast(theirs, 0)
        assert torch.equal(flat, theirs), "ranks drifted apart"
        fit(TINY, packed, out, on)


def stopping_main(rank, folder, out, environment):
    """Rank 1 gets a signal in its fourth step; both ranks must stop soon, after the same step."""
    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    update = Trainer.update

    def interrupted(self, *args, **options):
        if rank == 1 and self.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return update(self, *args, **options)

    Trainer.update = interrupted
    config = dataclasses.replace(TINY, steps=100, log_every=100, save_every=100)
    with distributed.process_group(torch.device("cpu")) as on:
        with pytest.raises(Stopped, match=r"stopped after step [45] of 100") as stopped:
            fit(config, open_packed(folder), out, on)
        assert stopped.value.exit_code == 128 + signal.SIGTERM
        text = str(stopped.value)
        steps = [torch.zeros(len(text), dtype=torch.uint8) for _ in range(2)]
        torch.distributed.all_gather(steps, torch.tensor(list(text.encode()), dtype=torch.uint8))
        assert torch.equal(*steps)


def rollback_main(rank, folder, out, environment):
    """Rank 1 gets images that are not finite in step 8; both ranks must roll back together."""
    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    made, make_batches, save = [], loop.make_batches, checkpoint.save

    def poisoned(ours, packed):
        made.append(ours)
        for step, batch in enumerate(make_batches(ours, packed), start=ours.step + 1):
            ill = rank == 1 and step == 8 and ours.rollbacks == 0
            yield batch._replace(real=batch.real * (float("nan") if ill else 1.0))

    def slow(*args):
        time.sleep(0.5)
        save(*args)

    loop.make_batches, checkpoint.save = poisoned, slow
    config = dataclasses.replace(TINY, steps=12, log_every=9, save_every=7, on_nan="rollback")
    with distributed.process_group(torch.device("cpu")) as on:
        fit(config, open_packed(folder), out, on)
        assert [ours.rollbacks for ours in made] == [0, 1]
        values = [value.double().flatten() for value in made[1].tensors().values()]
        flat = torch.cat(values)
        theirs = flat.clone()
        torch.distributed.broadcast(theirs, 0)
        assert torch.equal(flat, theirs), "they went back to different checkpoints"


def apart_main(rank, folder, out, environment):
    """Rank 1 has another run folder, as on a machine that does not share the disk."""
    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    with (
        distributed.process_group(torch.device("cpu")) as on,
        pytest.raises(UserError, match=f"resume from step {[6, 0][rank]}, and .* the same folder"),
    ):
        fit(dataclasses.replace(TINY, steps=9), open_packed(folder), out / str(rank), on)


def fails_main(rank, environment):
    """Rank 0 fails while rank 1 waits for it."""
    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    with (
        pytest.raises(UserError, match="it cannot") as raised,
        distributed.process_group(torch.device("cpu")),
        distributed.main_first("trying"),
    ):
        time.sleep(0.5)
        raise UsageError("it cannot")
    assert str(raised.value) == "it cannot", "the same words, so that they are printed once"
    assert raised.value.exit_code == UsageError.exit_code


def killed_main(rank, environment):
    """Rank 0 is killed while rank 1 waits for it."""
    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    with (
        pytest.raises(UserError, match=r"another process is gone: \S"),
        distributed.process_group(torch.device("cpu")),
        distributed.main_first("trying"),
    ):
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)


def patient_main(rank, folder, out, environment):
    """Rank 0 takes longer for its tasks than collective operations may take."""
    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    join, limit = torch.distributed.init_process_group, timedelta(seconds=3)
    torch.distributed.init_process_group = functools.partial(join, timeout=limit)
    turns._REPORT_SECONDS = 3
    said = io.StringIO()

    def slowly(function):
        def wrapped(*args, **options):
            time.sleep(4)
            return function(*args, **options)

        return wrapped

    Evaluator.scores, BackgroundWriter.__exit__ = map(
        slowly, (Evaluator.scores, BackgroundWriter.__exit__)
    )
    config = dataclasses.replace(TINY, eval_every=6, eval_images=16)
    with redirect_stderr(said), distributed.process_group(torch.device("cpu")) as on:
        # Every process tries to do it, and rank 0 alone may.
        assert distributed.from_main("packing", slowly(lambda: f"by {rank}")) == "by 0"
        fit(config, open_packed(folder), out, on)
    lines = [line for line in said.getvalue().splitlines() if line.startswith("waiting")]
    doing = ["packing", "evaluating", "writing the last files"]
    assert lines == [f"waiting for rank 0: {task} (0 min)" for task in doing] * rank


@pytest.mark.slow
def test_two_processes_keep_equal_networks_and_rank_0_writes(packed, tmp_path):
    """Without batch norm, two half batches average to the gradient of the whole batch."""
    in_processes(rank_main, packed.folder, tmp_path / "run")
    found = find_checkpoint(tmp_path / "run")
    assert found.step == TINY.steps
    assert all(v.isfinite().all() for v in load_file(found.path).values())


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_at_the_same_step(packed, tmp_path):
    """And not only at the next log line: torchrun kills processes that do not end soon."""
    in_processes(stopping_main, packed.folder, tmp_path / "run")
    assert find_checkpoint(tmp_path / "run").step in (4, 5)


@pytest.mark.slow
def test_both_processes_roll_back_to_the_same_checkpoint(packed, tmp_path):
    """Even if rank 0 is still writing it when rank 1 has to go back to it."""
    in_processes(rollback_main, packed.folder, tmp_path / "run")
    found = find_checkpoint(tmp_path / "run")
    assert (found.step, found.header["rollbacks"]) == (12, 1)
    (kept,) = (tmp_path / "run" / "diverged").iterdir()
    assert kept.stem == "step-00000009"


@pytest.mark.slow
def test_processes_that_would_resume_from_different_steps_are_refused(packed, run, tmp_path):
    """They would average the gradients of different networks."""
    shutil.copytree(run, tmp_path / "0")
    in_processes(apart_main, packed.folder, tmp_path)
    assert not (tmp_path / "1").exists()
    assert find_checkpoint(tmp_path / "0").step == 6


@pytest.mark.slow
def test_a_process_that_waits_for_one_that_fails_gets_its_error():
    in_processes(fails_main)


@pytest.mark.slow
def test_a_process_that_waits_for_one_that_is_killed_gets_an_error():
    processes = in_processes(killed_main, join=False).processes
    processes[0].join()
    processes[1].join(30)
    assert [process.exitcode for process in processes] == [-signal.SIGKILL, 0]


@pytest.mark.slow
def test_waiting_for_rank_0_has_no_limit_of_time(packed, tmp_path):
    in_processes(patient_main, packed.folder, tmp_path / "run")
    assert find_checkpoint(tmp_path / "run").step == TINY.steps


class Graph:
    """In the place of a CUDA graph: notes whether NCCL could still be there when it was reset."""

    found_group = None

    def reset(self):
        self.found_group = torch.distributed.is_initialized()


@pytest.mark.parametrize("fails", [False, True])
def test_graphs_are_reset_before_their_process_group_ends(monkeypatch, fails):
    """NCCL would wait for them for ever, at the latest when the interpreter exits."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    own = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in (own | {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}).items():
        monkeypatch.setenv(name, value)
    graph = Graph()
    try:
        with (
            pytest.raises(UserError) if fails else nullcontext(),
            distributed.process_group(torch.device("cpu")),
        ):
            distributed.reset_at_end(graph)
            assert graph.found_group is None
            if fails:
                raise UserError("no")
        assert graph.found_group
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@pytest.mark.parametrize("delayed", [False, True])
def test_a_stop_flag_is_read_after_its_own_step_or_on_gpus_one_step_later(monkeypatch, delayed):
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    flag = distributed.StopFlag(torch.device("cpu"))
    flag.delayed = delayed  # as on a GPU
    heard = []
    for others in (0.0, 0.5, 0.0):
        flag.set(False)
        flag.tensor += others  # as averaging with the others does
        heard.append(flag.is_set())
    assert heard == ([False, False, True] if delayed else [False, True, False])


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
TORCHRUN += ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0"]


@pytest.mark.slow
def test_an_error_of_all_processes_is_printed_once_and_an_error_of_one_is_printed():
    everywhere = [*TORCHRUN, "train.py", "--data", "/no/such/folder"]
    done = subprocess.run(everywhere, cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.count("/no/such/folder does not exist") == 1, done.stderr
    probe = (
        "import os, sys, time; from dcgan import cli; from dcgan.errors import UserError\n"
        "def fail(*_):\n"
        "    if os.environ['RANK'] == '1': raise UserError('only here')\n"
        "sys.exit(cli.run(fail, [], 'dcgan'))"
    )
    somewhere = [*TORCHRUN, "--no-python", sys.executable, "-c", probe]
    done = subprocess.run(somewhere, cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.count("dcgan: only here") == 1, done.stderr


@pytest.mark.slow
def test_sigterm_under_torchrun_saves_the_run(packed, tmp_path):
    command = [*TORCHRUN, "train.py", "--data", packed.folder, "--out", tmp_path / "run"]
    command += ["--width", "4", "--batch-size", "8", "--device", "cpu", "--steps", "1000000"]
    command += ["--log-every", "1000000", "--save-every", "1000000", "--sample-every", "5"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        open(tmp_path / "log", "w") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log) as job,
    ):
        while not (tmp_path / "run" / "samples" / "step-00000015.png").exists():
            assert job.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        job.send_signal(signal.SIGTERM)
        assert job.wait(60) != 0
    text = (tmp_path / "log").read_text()
    assert text.count("the same command resumes it") == 1
    found = find_checkpoint(tmp_path / "run")
    assert found.step >= 15


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "NCCL error in: a.cpp:77\nLast error:\nDuplicate GPU detected : rank 1",
            "one process for",
        ),
        ("[1] timed out\nframe #0: c10::Error", r"NCCL cannot start: \[1\] timed out$"),
    ],
)
def test_a_failed_start_of_nccl_is_explained_in_one_line(monkeypatch, said, told):
    def refuse(*_, **__):
        raise torch.distributed.DistBackendError(said)

    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", refuse)
    with (
        pytest.raises(UserError, match=told),
        distributed.process_group(torch.device("cuda")),
    ):
        pass
