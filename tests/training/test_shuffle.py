import math
import tracemalloc
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dcgan.training import shuffle as module
from dcgan.training.shuffle import Order


def epoch_of(count: int, seed: int = 0, epoch: int = 0) -> np.ndarray:
    return Order(count, count, seed)(epoch)


def chi_square(observed: np.ndarray) -> float:
    """Deviation from equal counts, in standard deviations of what chance gives."""
    expected = observed.sum() / observed.size
    freedom = observed.size - 1
    return (((observed - expected) ** 2).sum() / expected - freedom) / math.sqrt(2 * freedom)


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 5))
def test_every_epoch_shows_every_image_once(count, batch_size, seed):
    order = Order(count, batch_size, seed)
    steps = -(-3 * count // batch_size)
    shown = np.concatenate([order(step) for step in range(steps)])
    for epoch in range(3):
        assert sorted(shown[epoch * count : (epoch + 1) * count]) == list(range(count))


@given(st.integers(1, 100_000), st.integers(0, 2**63), st.integers(0, 2**40))
def test_it_is_a_permutation_whatever_the_count(count, seed, epoch):
    assert (np.bincount(epoch_of(count, seed, epoch), minlength=count) == 1).all()


def test_the_order_changes_with_epoch_and_seed_and_can_be_entered_anywhere():
    order = Order(1000, 10, seed=1)
    epochs = [np.concatenate([order(s) for s in range(e * 100, e * 100 + 100)]) for e in (0, 1)]
    assert (epochs[0] != epochs[1]).mean() > 0.9
    assert (np.concatenate([Order(1000, 10, 2)(s) for s in range(100)]) != epochs[0]).mean() > 0.9
    for step in (150, 3, 99):
        assert (Order(1000, 10, 1)(step) == epochs[step // 100].reshape(100, 10)[step % 100]).all()


def test_all_orders_of_few_images_are_equally_likely():
    for count in (3, 6):
        seen = Counter(tuple(epoch_of(count, seed)) for seed in range(8000))
        assert len(seen) == math.factorial(count)
        assert chi_square(np.array(list(seen.values()))) < 4


def test_every_image_is_as_likely_at_every_position():
    count = 50
    table = np.zeros((count, count))
    for epoch in range(4000):
        table[np.arange(count), epoch_of(count, 7, epoch)] += 1
    assert abs(chi_square(table)) < 4


def test_neighbours_are_strangers():
    """What follows an image in an epoch, and how far ahead it is, are anybody's guess."""
    count = 100_003
    order = epoch_of(count, 3)
    ahead = np.diff(order) % count
    assert abs(chi_square(np.histogram(ahead, 100, (0, count))[0])) < 4
    pairs = np.histogram2d(order[:-1], order[1:], 32)[0]
    assert abs(chi_square(pairs)) < 4
    again = epoch_of(count, 3, 1)
    assert abs(chi_square(np.histogram2d(order, again, 32)[0])) < 4


def test_memory_does_not_grow_with_the_count():
    def peak(count):
        order = Order(count, 128, 0)
        tracemalloc.start()
        order(10**6)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)
    assert peak(10**9) < 2 * peak(10**4)


def test_the_order_is_the_same_wherever_batches_begin():
    """Also where a batch holds many epochs; and runs go on as they were begun."""
    for count in (1, 5, 50):
        in_one = Order(count, 600, 3)(0)
        by_epoch = [epoch_of(count, 3, epoch) for epoch in range(600 // count)]
        assert (in_one == np.concatenate(by_epoch)).all()
    assert Order(10, 12, 3)(1).tolist() == [6, 0, 5, 7, 2, 9, 8, 3, 6, 7, 3, 1]


def test_many_epochs_in_a_batch_take_few_operations(monkeypatch):
    calls = []
    mix = module.mixed
    monkeypatch.setattr(module, "mixed", lambda x: calls.append(len(x)) or mix(x))
    Order(5, 128, 0)(0)
    assert len(calls) < 20 * module.ROUNDS
