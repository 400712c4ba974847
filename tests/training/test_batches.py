import itertools
import threading
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.images import to_float
from dcgan.training.batches import BatchLoader

CPU = torch.device("cpu")


@pytest.fixture
def numbered() -> np.ndarray:
    """Image i is filled with i on its left half and 0 on its right half."""
    images = np.zeros((40, 16, 16, 3), np.uint8)
    images[:, :, :8] = np.arange(40, dtype=np.uint8)[:, None, None, None]
    return images


def number_and_side(batch):
    """Which images a batch holds, and which of them are mirrored."""
    left = (batch.real[:, 0, 0, 0] + 1) * 127.5
    right = (batch.real[:, 0, 0, -1] + 1) * 127.5
    return torch.maximum(left, right).round().int().tolist(), (right > left).tolist()


def test_images_are_normalised_and_about_half_are_mirrored(tiny, numbered):
    batches = BatchLoader(numbered, tiny(batch_size=20), CPU)
    numbers, sides = [], []
    for step in range(20):
        batch = batches.at(step)
        n, s = number_and_side(batch)
        numbers += n
        sides += [m for m, i in zip(s, n, strict=True) if i]
        straight = to_float(torch.from_numpy(numbered[n]))
        expected = torch.stack([x.flip(2) if m else x for x, m in zip(straight, s, strict=True)])
        assert torch.equal(batch.real, expected)
    assert Counter(numbers) == dict.fromkeys(range(40), 10)
    assert 0.4 < np.mean(sides) < 0.6


def test_no_flip_mirrors_nothing(tiny, numbered):
    batches = BatchLoader(numbered, tiny(flip=False), CPU)
    assert not any(any(number_and_side(batches.at(step))[1]) for step in range(10))


def test_a_batch_is_the_same_loaded_ahead_or_alone(tiny, numbered):
    config = tiny()
    ahead = list(itertools.islice(BatchLoader(numbered, config, CPU).starting_at(5), 4))
    for i, batch in enumerate(ahead):
        alone = BatchLoader(numbered, config, CPU).at(5 + i)
        assert torch.equal(batch.real, alone.real)
        assert torch.equal(batch.z, alone.z)
    assert not torch.equal(ahead[0].z, ahead[1].z)


@settings(max_examples=10)
@given(st.sampled_from([1, 2, 4, 8]))
def test_ranks_share_the_batch_of_one_process(ranks):
    from tests.conftest import TINY

    images = np.random.default_rng(0).integers(0, 256, (21, 16, 16, 3), dtype=np.uint8)
    whole = BatchLoader(images, TINY, CPU).at(3)
    shares = [BatchLoader(images, TINY, CPU, rank, ranks).at(3) for rank in range(ranks)]
    assert torch.equal(torch.cat([s.real for s in shares]), whole.real)
    assert torch.equal(torch.cat([s.z for s in shares]), whole.z)


def test_an_error_in_the_background_reaches_the_loop(tiny):
    class Broken(np.ndarray):
        def __getitem__(self, _):
            raise OSError("the disk is gone")

    batches = BatchLoader(np.zeros((9, 16, 16, 3), np.uint8).view(Broken), tiny(), CPU)
    with pytest.raises(OSError, match="gone"):
        next(batches.starting_at(0))


def test_the_thread_that_pins_batches_uses_the_gpu_of_its_process(tiny, monkeypatch):
    """In a new thread CUDA's current device is GPU 0."""
    current = {}  # by thread

    def set_device(device):
        current[threading.get_ident()] = device

    pinned_for = []

    def pin_memory(tensor):
        pinned_for.append((threading.get_ident(), current.get(threading.get_ident(), 0)))
        return tensor

    monkeypatch.setattr(torch.cuda, "set_device", set_device)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 0))
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    monkeypatch.setattr(BatchLoader, "_to_device", lambda self, host: host)
    gpu = torch.device("cuda", 3)
    loader = BatchLoader(np.zeros((20, 16, 16, 3), np.uint8), tiny(), gpu)
    list(itertools.islice(loader.starting_at(0), 2))
    assert {device for _, device in pinned_for} == {3}
    assert {thread for thread, _ in pinned_for} == current.keys() - {threading.get_ident()}
