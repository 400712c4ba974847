import socket

import pytest
import torch
import torch.multiprocessing as mp
from safetensors.torch import load_file

from dcgan import checkpoint, distributed, trainer
from dcgan.data.packed import open_packed
from tests.conftest import TINY


def rank_main(rank, port, folder, out, environment):
    import os

    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    with distributed.started(torch.device("cpu")) as on:
        mine = [torch.full((3,), float(rank)), torch.full((2, 2), 10.0 * rank)]
        distributed.average(mine)
        assert mine[0].tolist() == [0.5] * 3
        assert mine[1].flatten().tolist() == [5.0] * 4
        state = trainer.Trainer(TINY, on)
        packed = open_packed(folder)
        batches = trainer.Batches(packed.images, TINY, on, rank, 2)
        for step in range(3):
            state.update(batches.at(step))
        tensors = {**state.G.state_dict(), **{f"D{k}": v for k, v in state.D.state_dict().items()}}
        flat = torch.cat([v.double().flatten() for v in tensors.values()])
        theirs = flat.clone()
        torch.distributed.broadcast(theirs, 0)
        assert torch.equal(flat, theirs), "ranks drifted apart"
        trainer.fit(TINY, packed, out, on)


@pytest.mark.slow
def test_two_processes_stay_equal_and_rank_0_writes(packed, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    mp.spawn(rank_main, (port, packed.folder, tmp_path / "run", environment), nprocs=2)
    found = checkpoint.find(tmp_path / "run")
    assert found.step == TINY.steps
    assert all(v.isfinite().all() for v in load_file(found.path).values())


def test_reduced_gradient_is_the_mean_over_slices():
    """Without batch norm, two half batches average to the gradient of the whole batch."""
    D = torch.nn.Conv2d(3, 1, 3)
    x = torch.randn(8, 3, 5, 5)

    def gradient(batch):
        D.zero_grad()
        D(batch).square().mean().backward()
        return D.weight.grad.clone()

    mean = (gradient(x[:4]) + gradient(x[4:])) / 2
    torch.testing.assert_close(mean, gradient(x))
