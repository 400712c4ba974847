import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dcgan.runtime.threads import _cpu_quota, once_for_all_threads, parallel_for_each


@pytest.mark.parametrize(
    ("content", "cpus"),
    [("200000 100000\n", 2), ("150000 100000\n", 1), ("50000 100000", 1), ("max 100000", None)],
)
def test_the_quota_of_a_container_limits_the_cpus(content, cpus, tmp_path):
    (tmp_path / "cpu.max").write_text(content)
    assert _cpu_quota(tmp_path / "cpu.max") == cpus
    assert _cpu_quota(tmp_path / "missing") is None


def test_every_item_is_processed_once():
    done = []
    parallel_for_each(done.append, range(500), max_pending=7)
    assert sorted(done) == list(range(500))


def test_items_are_made_while_others_are_processed_and_only_a_few_ahead():
    """However slow the work, few items wait, so memory does not grow with their number."""
    made, done, most = 0, 0, 0

    def items():
        nonlocal made, most
        for _ in range(60):
            made += 1
            most = max(most, made - done)
            yield made

    lock = threading.Lock()

    def work(_):
        nonlocal done
        time.sleep(0.002)
        with lock:
            done += 1

    parallel_for_each(work, items(), max_pending=5)
    assert done == 60
    assert 1 < most <= 5 + 1  # those under way, and the one just made


def test_after_the_first_error_no_further_items_are_processed():
    begun = []

    def work(item):
        begun.append(item)
        if item == 20:
            raise OSError("disk full")

    made = []

    def items():
        for i in range(10_000):
            made.append(i)
            time.sleep(0.0005)
            yield i

    with pytest.raises(OSError, match="disk full"):
        parallel_for_each(work, items(), max_pending=10)
    assert len(made) < 200
    after = len(begun)
    time.sleep(0.05)
    assert len(begun) == after


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_of_the_iterator_lets_running_work_finish(error):
    begun, ended = [], []

    def work(item):
        begun.append(item)
        time.sleep(0.01)
        ended.append(item)

    def items():
        yield from range(4)
        time.sleep(0.005)
        raise error

    with pytest.raises(error):
        parallel_for_each(work, items(), max_pending=10)
    assert sorted(begun) == sorted(ended)


def test_a_setting_of_all_threads_is_restored_by_the_last_block_that_needs_it():
    value = "users"

    @once_for_all_threads
    @contextmanager
    def setting() -> Iterator[None]:
        nonlocal value
        before, value = value, "ours"
        yield
        value = before

    def second():
        with setting():
            entered.set()
            left.wait(60)

    for _ in range(2):
        entered, left = threading.Event(), threading.Event()
        thread = threading.Thread(target=second)
        with pytest.raises(KeyError), setting(), setting():
            thread.start()
            entered.wait(60)
            raise KeyError
        assert value == "ours"
        left.set()
        thread.join()
        assert value == "users"
