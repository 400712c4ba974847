"""Threads: small jobs for them (zlib's and the disk's), and what libraries are told of theirs."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
# Turns that a thread of OpenMP spins before it sleeps, waiting for the others, some hundred times
# a step. By default it spins on, and takes from them the core that they need where other work has
# the rest of the machine; not to spin at all costs a sixth where nothing has.
WAITING = {"GOMP_SPINCOUNT": "1000"}
MOST = 8  # more threads would wait for each other: a fourth of the work is Python's


def wait_briefly() -> None:
    """Set how torch's threads wait, unless the user has. Must come before torch is imported."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.update(WAITING | os.environ)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started in the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def for_each(work: Callable[[Item], object], items: Iterable[Item], ahead: int) -> None:
    """Call `work(item)` for every item, in threads, while this one makes the next items.

    At most `ahead` items are under way, so memory stays as it is however many there are. The
    first error, of the work or of the items, and Ctrl-C are raised after the items that are being
    worked on are done; those that wait are dropped.
    """
    pool = ThreadPoolExecutor(min(MOST, processors()))
    running: deque[Future] = deque()
    try:
        for item in items:
            while running and (len(running) == ahead or running[0].done()):
                running.popleft().result()
            running.append(pool.submit(work, item))
        for future in running:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
