"""Batches that processes and micro-batches divide, against the undivided batch."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dcgan.config import TrainConfig
from dcgan.data import open_packed
from dcgan.training.adaptive_augmentation import _RAMP_IMAGES, OVERFITTING_TARGET
from dcgan.training.batches import BatchLoader
from dcgan.training.trainer import Trainer
from tests.processes import in_processes

CPU = torch.device("cpu")


def measures(config: TrainConfig, folder: Path, rank: int = 0, world_size: int = 1) -> Tensor:
    """The overfitting heuristic and the probability after each of some steps: [steps, 2]."""
    ours = Trainer(config, CPU)
    ours.G.eval()  # its images must not depend on the rest of the batch
    ours.augment.probability.fill_(0.3)
    batches = BatchLoader(open_packed(folder).images, config, CPU, rank, world_size)
    steps = (ours.update(batches.at(step)) for step in range(5))
    return torch.stack([torch.stack([s["overfitting"], s["augment_p"]]) for s in steps])


def check_measures(config, folder, expected, rank=0, world_size=1) -> None:
    for parts in {1, 2, 8 // world_size}:
        divided = dataclasses.replace(config, accumulate=parts)
        found = measures(divided, folder, rank, world_size)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def measuring_main(rank: int, config, folder, expected, environment) -> None:
    os.environ |= environment | {"RANK": str(rank)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    check_measures(config, folder, expected, rank, int(environment["WORLD_SIZE"]))
    torch.distributed.barrier()


@pytest.mark.parametrize(
    "processes", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4))]
)
def test_the_probability_does_not_depend_on_how_a_batch_is_divided(tiny, packed, processes):
    """Among processes and micro-batches: the sign is that of the measure of the whole batch."""
    config = tiny(augment_p="adaptive", batch_size=16, accumulate=1)
    expected = measures(config, packed.folder)
    changes = torch.cat([torch.tensor([0.3]), expected[:, 1]]).diff()
    signs = (expected[:, 0] - OVERFITTING_TARGET).sign()
    torch.testing.assert_close(changes, signs * 16 / _RAMP_IMAGES)
    if processes == 1:
        check_measures(config, packed.folder, expected)
    else:
        in_processes(measuring_main, config, packed.folder, expected, count=processes)


class SavedBytes(torch.autograd.graph.saved_tensors_hooks):
    """Bytes that are saved for backward passes, but for those of `parameters`: now and at most."""

    def __init__(self, parameters: Iterable[Tensor]):
        self.sizes = Counter[int]()
        self.ignored = {parameter.data_ptr() for parameter in parameters}
        self.now = self.peak = 0
        super().__init__(lambda tensor: _Saved(tensor, self), lambda saved: saved.tensor)


class _Saved:
    def __init__(self, tensor: Tensor, total: SavedBytes):
        self.tensor, self.total = tensor, total
        self.add(1)

    def __del__(self):
        self.add(-1)

    def add(self, sign: int) -> None:
        """Count a storage once, however many tensors share it."""
        storage, total = self.tensor.untyped_storage(), self.total
        before = total.sizes[storage.data_ptr()] > 0
        total.sizes[storage.data_ptr()] += sign
        change = (total.sizes[storage.data_ptr()] > 0) - before
        if storage.data_ptr() not in total.ignored:
            total.now += change * storage.nbytes()
            total.peak = max(total.peak, total.now)


def peak_of_a_step(config: TrainConfig, packed) -> int:
    ours = Trainer(config, CPU)
    batches = BatchLoader(packed.images, config, CPU)
    batches = [batches.at(number) for number in range(config.d_steps)]
    saved = SavedBytes([*ours.G.parameters(), *ours.D.parameters()])
    with saved:
        ours.d_and_g_step(*batches)
    assert saved.now == 0
    return saved.peak


def test_micro_batches_divide_the_memory_of_the_graphs_and_d_steps_add_none(tiny, packed):
    """The graphs of G of all parts must not live at once, nor those that no step of G uses."""
    options = dict(batch_size=32, augment_p=0.5)
    whole = peak_of_a_step(tiny(**options), packed)
    assert peak_of_a_step(tiny(**options, d_steps=3), packed) == whole
    for parts in (2, 4, 8):
        for d_steps in (1, 3):
            config = tiny(**options, accumulate=parts, d_steps=d_steps)
            assert peak_of_a_step(config, packed) <= whole / parts


@pytest.mark.parametrize("options", [{}, dict(spectral_norm=True, augment_p=0.5)], ids=str)
@pytest.mark.parametrize("parts", [2, 4])
def test_recomputed_fakes_give_the_same_step_bit_for_bit(tiny, packed, options, parts):
    """Weights, moments and running statistics, which see each micro-batch once."""
    config = tiny(**options, accumulate=parts)
    ours, kept = Trainer(config, CPU), Trainer(config, CPU)
    batches = BatchLoader(packed.images, config, CPU)
    for batch in (batches.at(step) for step in range(2)):
        ours.d_and_g_step(batch)
        with_graphs = kept.generate_fakes(batch, keep_graphs=True)
        kept.g_step(with_graphs, kept.d_step(with_graphs, penalized=False)[1])
    expected = kept.tensors()
    for name, value in ours.tensors().items():
        assert torch.equal(value, expected[name]), name
    assert ours.G.layers[1].num_batches_tracked == 2 * parts
