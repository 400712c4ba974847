"""Streaming of results from child processes, which may crash or hang."""

import os
import signal
import time
from multiprocessing import parent_process

import pytest

from dcgan.data.processes import ChildFailed, exit_after, stream_from_child

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals only")


def squares(count):
    for i in range(count):
        yield i * i


def pid_and_threads():
    yield os.getpid(), parent_process() is not None, os.environ["OMP_NUM_THREADS"]


def fail(after):
    yield from range(after)
    raise ValueError("too far")


def kill_itself(after, signum):
    yield from range(after)
    os.kill(os.getpid(), signum)


def exit_itself():
    yield 1
    os._exit(7)


def hang(report):
    report.write_text(str(os.getpid()))
    yield 1
    time.sleep(1000)


def hang_in_a_block():
    yield 1
    with exit_after(0.1):
        time.sleep(1000)


def slow_beside_the_block():
    with exit_after(0.2):
        yield 1
    time.sleep(0.5)
    yield 2


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_items_come_in_order_from_another_process(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert list(stream_from_child(squares, 5)) == [0, 1, 4, 9, 16]
    ((pid, is_child, threads),) = stream_from_child(pid_and_threads)
    assert pid != os.getpid()
    assert is_child
    assert threads == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_an_exception_comes_after_the_items_before_it():
    items = stream_from_child(fail, 2)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match="too far"):
        next(items)


@posix
@pytest.mark.parametrize("signum", [signal.SIGBUS, signal.SIGSEGV, signal.SIGKILL])
def test_a_killed_child_is_an_error_that_names_the_signal(signum):
    items = stream_from_child(kill_itself, 3, signum)
    assert [next(items), next(items), next(items)] == [0, 1, 2]
    with pytest.raises(ChildFailed, match=f"it was ended by {signum.name}"):
        next(items)


def test_a_child_that_exits_is_an_error_that_names_the_code():
    with pytest.raises(ChildFailed, match="it was ended by exit code 7"):
        list(stream_from_child(exit_itself))


@posix
def test_a_child_that_hangs_is_killed(tmp_path):
    report = tmp_path / "pid"
    items = stream_from_child(hang, report, timeout=5)
    assert next(items) == 1
    started = time.monotonic()
    with pytest.raises(ChildFailed, match="it did not answer for 5 seconds"):
        next(items)
    assert 4 < time.monotonic() - started < 30
    assert not alive(int(report.read_text()))


@posix
def test_a_child_is_killed_when_its_iterator_is_closed(tmp_path):
    report = tmp_path / "pid"
    items = stream_from_child(hang, report)
    assert next(items) == 1
    items.close()
    assert not alive(int(report.read_text()))


def test_a_block_that_takes_too_long_ends_its_process():
    with pytest.raises(ChildFailed, match="it was ended by exit code 1"):
        list(stream_from_child(hang_in_a_block))


def test_only_the_time_in_the_block_counts():
    assert list(stream_from_child(slow_beside_the_block)) == [1, 2]
