"""Turns on a store in memory, whose processes are threads."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import torch.distributed as dist

from dcgan.errors import UsageError, UserError
from dcgan.runtime import turns
from dcgan.runtime.turns import Turns


def everywhere(function, count):
    """`function(turns)` in `count` processes; the results or errors by rank."""
    store = dist.HashStore()
    with ThreadPoolExecutor(count) as pool:
        ranks = [Turns(store, rank, count) for rank in range(count)]
        futures = [pool.submit(function, each) for each in ranks]
    return [future.exception() or future.result() for future in futures]


def test_one_process_works_and_all_get_the_results_in_order():
    worked = []

    def main(turns):
        def work(i):
            time.sleep(0.02)
            worked.append((turns.rank, i))
            return f"{i} by {turns.rank}"

        return [turns.take(i % 3, "working", lambda i=i: work(i)) for i in range(6)]

    expected = [f"{i} by {i % 3}" for i in range(6)]
    assert everywhere(main, 3) == [expected] * 3
    assert sorted(worked, key=lambda work: work[1]) == [(i % 3, i) for i in range(6)]


def test_each_machine_has_its_own_worker():
    def main(turns):
        first = turns.rank - turns.rank % 2
        return [turns.take(first, "working", lambda i=i: f"{i} by {turns.rank}") for i in range(3)]

    by_first = [[f"{i} by {first}" for i in range(3)] for first in (0, 2)]
    assert everywhere(main, 4) == [by_first[0]] * 2 + [by_first[1]] * 2


def test_the_others_run_the_block_after_the_first():
    order = []

    def main(turns):
        with turns.first(0, "working"):
            time.sleep(0.1 if turns.rank == 0 else 0)
            order.append(turns.rank)

    everywhere(main, 4)
    assert order[0] == 0
    assert sorted(order) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("error", "told", "exit_code"),
    [
        (UserError("the disk is full"), "the disk is full", 1),
        (UsageError("no such flag"), "no such flag", 2),
        (OSError(5, "Input/output error", "/a"), "/a: Input/output error", 1),
        (OSError(28, "No space left"), "[Errno 28] No space left", 1),
        (ValueError("odd"), "rank 0 has failed: ValueError: odd", 1),
    ],
)
def test_an_error_in_a_turn_is_raised_in_all_processes(error, told, exit_code):
    def main(turns):
        with turns.first(0, "working"):
            raise error

    def other(turns):
        turns.take(0, "working", str)

    ours, *others = everywhere(lambda turns: (other if turns.rank else main)(turns), 3)
    assert ours is error
    assert [(type(e), str(e), e.exit_code) for e in others] == [(UserError, told, exit_code)] * 2


def test_the_failure_of_any_process_ends_the_waiting_of_the_others():
    """Also where it fails outside a turn, so that its next turn never comes."""
    started = time.monotonic()

    def main(turns):
        try:
            if turns.rank == 1:
                raise UserError("no memory")
            turns.take(0, "working", lambda: threading.Event().wait(0.1) or "done")
            turns.take(1, "working", str)
        except UserError as error:
            turns.fail(error)
            raise

    errors = everywhere(main, 3)
    assert [str(error) for error in errors] == ["no memory"] * 3
    assert time.monotonic() - started < turns._FAREWELL_SECONDS, "nobody is left to stay for"


@pytest.mark.parametrize("work", [str, lambda: int("odd")])
def test_a_store_that_is_gone_does_not_hide_why_a_turn_failed(work):
    """As where torchrun, which holds it, was killed."""
    with ThreadPoolExecutor(1) as pool:
        store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        ours = dist.TCPStore("127.0.0.1", store.port, is_master=False, wait_for_workers=False)
        del store
        with suppress(RuntimeError):
            ours.check(["anything"])  # the first call after the end may go unanswered
        error = pool.submit(Turns(ours, 0, 2).take, 0, "working", work).exception()
    if work is str:
        assert isinstance(error, UserError)
        assert str(error).startswith("another process is gone: ")
    else:
        assert isinstance(error, ValueError)


def test_rank_0_stays_until_the_others_have_read_why_it_ends(monkeypatch):
    monkeypatch.setattr(turns, "_FAREWELL_SECONDS", 10)
    ended = []

    def main(turns):
        if turns.rank == 1:
            time.sleep(0.3)
        turns.fail(UserError("no memory"))
        ended.append(turns.rank)

    everywhere(main, 2)
    assert ended == [1, 0]


def test_one_of_those_who_wait_says_so_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(turns, "_REPORT_SECONDS", 0.3)
    everywhere(lambda turns: turns.take(1, "packing", lambda: time.sleep(0.75) or ""), 4)
    assert capsys.readouterr().err == "waiting for rank 1: packing (0 min)\n" * 2
