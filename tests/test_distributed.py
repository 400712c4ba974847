import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from safetensors.torch import load_file

from dcgan import checkpoint, distributed, trainer
from dcgan.data.batches import Batches
from dcgan.data.packed import open_packed
from tests.conftest import TINY, fit

ROOT = Path(__file__).parents[1]


def gradient(network: torch.nn.Module, batch: torch.Tensor) -> list[torch.Tensor]:
    network.zero_grad()
    network(batch).square().mean().backward()
    return [p.grad.clone() for p in network.parameters()]


def rank_main(rank, port, folder, out, environment):
    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    with distributed.started(torch.device("cpu")) as on:
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 1, 3))
        for p in network.parameters():
            torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(p.numel()))
        x = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(1))
        mine = gradient(network, x[4 * rank : 4 * rank + 4])
        distributed.average(mine)
        for reduced, whole in zip(mine, gradient(network, x), strict=True):
            torch.testing.assert_close(reduced, whole)
        assert distributed.largest(5 * rank, on) == 5

        state = trainer.Trainer(TINY, on)
        packed = open_packed(folder)
        batches = Batches(packed.images, TINY, on, rank, 2)
        for step in range(3):
            state.update(batches.at(step))
        values = [*state.G.state_dict().values(), *state.D.state_dict().values()]
        flat = torch.cat([v.double().flatten() for v in values])
        theirs = flat.clone()
        torch.distributed.broadcast(theirs, 0)
        assert torch.equal(flat, theirs), "ranks drifted apart"
        fit(TINY, packed, out, on)


@pytest.mark.slow
def test_two_processes_stay_equal_and_rank_0_writes(packed, tmp_path):
    """Without batch norm, two half batches average to the gradient of the whole batch."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    mp.spawn(rank_main, (port, packed.folder, tmp_path / "run", environment), nprocs=2)
    found = checkpoint.find(tmp_path / "run")
    assert found.step == TINY.steps
    assert all(v.isfinite().all() for v in load_file(found.path).values())


@pytest.mark.slow
def test_sigterm_under_torchrun_saves_the_run(packed, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "train.py"]
    command += ["--data", packed.folder, "--out", tmp_path / "run", "--steps", "1000000"]
    command += ["--width", "4", "--batch-size", "8", "--device", "cpu", "--log-every", "5"]
    command += ["--save-every", "1000000"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        open(tmp_path / "log", "w") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log) as job,
    ):
        metrics = tmp_path / "run" / "metrics.jsonl"
        while not (metrics.exists() and metrics.read_text().count("\n") > 2):
            assert job.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        job.send_signal(signal.SIGTERM)
        assert job.wait(60) != 0
    text = (tmp_path / "log").read_text()
    assert "the same command goes on from there" in text
    found = checkpoint.find(tmp_path / "run")
    assert found.step >= 15
    assert found.step % 5 == 0, "the processes agree where they log"
