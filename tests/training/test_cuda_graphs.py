"""Captured steps of several processes, on two NVIDIA GPUs; elsewhere these tests skip themselves.

Captured steps of one process are tested in test_trainer.py.
"""

import dataclasses
import functools
import os
import signal
import subprocess
import time
from datetime import timedelta

import pytest
import torch

from dcgan.data import open_packed
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runtime import distributed
from dcgan.training.batches import BatchLoader
from dcgan.training.trainer import Trainer
from tests.conftest import TINY
from tests.processes import in_processes
from tests.runtime.test_distributed import ROOT, TORCHRUN

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two NVIDIA GPUs"),
]
GPU = torch.device("cuda")
SPAWNED = dict(join=False, method="spawn")  # forks of a process that sees no GPU would see none
LAZY = dataclasses.replace(
    TINY, device="cuda", precision="fp32", penalty_every=2, lr_G=1e-3, augment_p="adaptive"
)


def train_for(steps, packed, on, cuda_graphs):
    """A trainer after some steps of this process's share, and its losses [steps, 2]."""
    ours = Trainer(dataclasses.replace(LAZY, cuda_graphs=cuda_graphs), on)
    batches = BatchLoader(packed.images, LAZY, on, distributed.rank(), 2)
    scalars = (ours.update(batches.at(step)) for step in range(steps))
    losses = [[float(some["loss_D"]), float(some["loss_G"])] for some in scalars]
    return ours, torch.tensor(losses)


def learning_main(rank, folder, environment):
    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    with distributed.process_group(GPU) as on:
        packed = open_packed(folder)
        eager, expected = train_for(16, packed, on, cuda_graphs=False)
        captured, found = train_for(16, packed, on, cuda_graphs=True)
        assert eager.graphs is None
        assert set(captured.graphs.captured) == {False, True}
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)
        flat = torch.cat([value.double().flatten() for value in captured.tensors().values()])
        theirs = flat.clone()
        torch.distributed.broadcast(theirs, 0)
        assert torch.equal(flat, theirs), "ranks drifted apart"


def lost_main(rank, folder, environment):
    """Rank 1 vanishes when steps are replayed. Collective operations may take ten seconds."""
    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    join, limit = torch.distributed.init_process_group, timedelta(seconds=10)
    torch.distributed.init_process_group = functools.partial(join, timeout=limit)
    with distributed.process_group(GPU) as on:
        packed = open_packed(folder)
        ours, _ = train_for(16, packed, on, cuda_graphs=True)
        if rank == 1:
            os._exit(0)
        batches = BatchLoader(packed.images, LAZY, on, rank, 2)
        for step in range(16, 100):
            ours.update(batches.at(step))
            ours.stop_flag.is_set()  # waits for the step before, as the training loop does


def test_captured_steps_learn_as_those_launched_from_python(packed):
    """And the processes end: graphs that are left would keep NCCL from ending."""
    start = in_processes(learning_main, packed.folder, **SPAWNED)
    deadline = time.monotonic() + 300
    while not start.join(timeout=1):
        assert time.monotonic() < deadline, "the processes do not end"


def test_a_process_does_not_replay_for_ever_without_the_other(packed):
    waiting, _ = in_processes(lost_main, packed.folder, **SPAWNED).processes
    waiting.join(120)
    assert waiting.exitcode not in (None, 0)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_signals_end_torchrun_while_steps_are_replayed(packed, tmp_path, signum):
    """SIGTERM to torchrun saves the run; when a process is killed, torchrun ends the other."""
    command = [*TORCHRUN, "train.py", "--data", packed.folder, "--out", tmp_path / "run"]
    command += ["--width", "4", "--batch-size", "8", "--device", "cuda", "--steps", "1000000"]
    command += ["--log-every", "1000000", "--save-every", "100", "--sample-every", "1000000"]
    with (
        open(tmp_path / "log", "w") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as job,
    ):
        try:
            while not list((tmp_path / "run" / "checkpoints").glob("step-*00.safetensors")):
                assert job.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.1)
            if signum == signal.SIGTERM:
                job.send_signal(signum)
            else:
                children = subprocess.check_output(["ps", "-o", "pid=", "--ppid", str(job.pid)])
                os.kill(int(children.split()[-1]), signum)
            begun = time.monotonic()
            assert job.wait(120) != 0
        finally:
            job.kill()
    text = (tmp_path / "log").read_text()
    assert (text.count("the same command resumes it") == 1) == (signum == signal.SIGTERM)
    if signum == signal.SIGTERM:
        assert time.monotonic() - begun < 25, "torchrun has killed processes that did not end"
    assert find_checkpoint(tmp_path / "run").step >= 100
