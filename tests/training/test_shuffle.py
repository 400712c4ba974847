import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcgan.training.shuffle import EpochShuffle


def epoch_of(count: int, seed: int = 0, epoch: int = 0) -> np.ndarray:
    return EpochShuffle(count, count, seed)(epoch)


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 2**63), st.integers(0, 2**40))
def test_every_epoch_shows_every_image_once(count, batch_size, seed, first_epoch):
    """Whatever the batch size: batches that reach into the next epoch, or over several, too."""
    shuffle = EpochShuffle(count, batch_size, seed)
    start = first_epoch * count
    steps = range(start // batch_size, (start + 3 * count) // batch_size + 1)
    shown = np.concatenate([shuffle(step) for step in steps])[start % batch_size :]
    for epoch in range(3):
        assert sorted(shown[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_an_epoch_is_the_permutation_of_its_seed_stream_and_number():
    shuffle = EpochShuffle(1000, 10, seed=3, stream=2)
    expected = np.random.default_rng([3, 2, 1]).permutation(1000).reshape(100, 10)
    for step in (150, 100, 199):
        assert (shuffle(step) == expected[step - 100]).all()


@pytest.mark.parametrize("other", [dict(seed=2), dict(seed=1, stream=1), dict(seed=1, epoch=1)])
def test_seeds_streams_and_epochs_have_orders_of_their_own(other):
    epoch = other.pop("epoch", 0)
    assert (EpochShuffle(1000, 1000, 1)(0) != EpochShuffle(1000, 1000, **other)(epoch)).mean() > 0.9


def test_the_order_is_the_same_wherever_training_resumes():
    count, batch_size = 50, 12
    shuffle = EpochShuffle(count, batch_size, 3)
    whole = np.concatenate([shuffle(step) for step in range(20)])
    for step in (19, 4, 11, 12):
        resumed = EpochShuffle(count, batch_size, 3)(step)
        assert (resumed == whole[step * batch_size : (step + 1) * batch_size]).all()


def test_a_batch_of_many_epochs_shows_all_of_them():
    for count in (1, 5, 50):
        batch = EpochShuffle(count, 600, 3)(0)
        by_epoch = [epoch_of(count, 3, epoch) for epoch in range(600 // count)]
        assert (batch == np.concatenate(by_epoch)).all()


def test_one_epoch_is_kept_in_memory_at_8_bytes_an_image():
    count = 10**6
    shuffle = EpochShuffle(count, 1000, 0)
    tracemalloc.start()
    for step in range(0, 3000, 100):
        shuffle(step)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 8 * count <= kept < 8.1 * count
    assert peak < 16.5 * count, "no more than the next epoch's beside it"


def test_an_epoch_is_sampled_once_for_all_its_steps(monkeypatch):
    sampled, sample = [], EpochShuffle._sample_permutation
    monkeypatch.setattr(
        EpochShuffle, "_sample_permutation", lambda self, e: sampled.append(e) or sample(self, e)
    )
    shuffle = EpochShuffle(1000, 15, 0)
    for step in range(200):
        shuffle(step)
    assert sampled == [0, 1, 2]
