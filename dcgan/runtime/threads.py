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
LIMITED_SPINNING = {"GOMP_SPINCOUNT": "1000"}
_MAX_THREADS = 8  # more threads would wait for each other: a fourth of the work is Python's


def limit_openmp_spinning() -> None:
    """Set how torch's threads wait, unless the user has. Must come before torch is imported."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.update(LIMITED_SPINNING | os.environ)


@contextmanager
def environment_variables(variables: Mapping[str, str]) -> Iterator[None]:
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


def parallel_for_each(
    work: Callable[[Item], object], items: Iterable[Item], max_pending: int
) -> None:
    """Call `work(item)` for every item, in threads, while this one makes the next items.

    At most `max_pending` items are under way, so memory stays as it is however many there are. The
    first error, of the work or of the items, and Ctrl-C are raised after the items that are being
    worked on are done; those that wait are dropped.
    """
    pool = ThreadPoolExecutor(min(_MAX_THREADS, available_cpus()))
    running: deque[Future] = deque()
    try:
        for item in items:
            while running and (len(running) == max_pending or running[0].done()):
                running.popleft().result()
            running.append(pool.submit(work, item))
        for future in running:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def available_cpus() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
