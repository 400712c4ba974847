"""Batches that processes and micro-batches divide, against the undivided batch."""

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor

from dcgan.config import TrainConfig
from dcgan.data import open_packed
from dcgan.training import loop
from dcgan.training.augmentation import _OVERFITTING_TARGET, _RAMP_IMAGES
from dcgan.training.batches import BatchLoader

CPU = torch.device("cpu")


def measures(config: TrainConfig, folder: Path, rank: int = 0, world_size: int = 1) -> Tensor:
    """The overfitting heuristic and the probability after each of some steps: [steps, 2]."""
    ours = loop.Trainer(config, CPU)
    ours.G.eval()  # its images must not depend on the rest of the batch
    ours.augment_p.fill_(0.3)
    batches = BatchLoader(open_packed(folder).images, config, CPU, rank, world_size)
    steps = (ours.update(batches.at(step)) for step in range(5))
    return torch.stack([torch.stack([s["overfitting"], s["augment_p"]]) for s in steps])


def check_measures(config, folder, expected, rank=0, world_size=1) -> None:
    for parts in {1, 2, 8 // world_size}:
        divided = dataclasses.replace(config, accumulate=parts)
        found = measures(divided, folder, rank, world_size)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def measuring_main(rank: int, world_size: int, store: str, *args) -> None:
    torch.set_num_threads(1)
    backend = dict(init_method=f"file://{store}", rank=rank, world_size=world_size)
    torch.distributed.init_process_group("gloo", **backend)
    check_measures(*args, rank, world_size)
    torch.distributed.barrier()


@pytest.mark.parametrize(
    "processes", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4))]
)
def test_the_probability_does_not_depend_on_how_a_batch_is_divided(
    tiny, packed, tmp_path, processes
):
    """Among processes and micro-batches: the sign is that of the measure of the whole batch."""
    config = tiny(augment_p="adaptive", batch_size=16, accumulate=1)
    expected = measures(config, packed.folder)
    changes = torch.cat([torch.tensor([0.3]), expected[:, 1]]).diff()
    signs = (expected[:, 0] - _OVERFITTING_TARGET).sign()
    torch.testing.assert_close(changes, signs * 16 / _RAMP_IMAGES)
    if processes == 1:
        check_measures(config, packed.folder, expected)
    else:
        args = (processes, str(tmp_path / "store"), config, packed.folder, expected)
        mp.spawn(measuring_main, args, nprocs=processes)
