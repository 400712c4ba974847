"""Thread pools, and settings of the threads that libraries start."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
# How often a waiting OpenMP thread checks for work before it sleeps; it waits some hundred times a
# training step. The default count takes cores from threads that have work where other processes
# use the machine; sleeping at once costs a sixth where none do (docs/speed.md).
LIMITED_SPINNING = {"GOMP_SPINCOUNT": "1000"}
_MAX_THREADS = 8  # a fourth of the work holds Python's interpreter lock


def limit_openmp_spinning() -> None:
    """Limit how long torch's threads spin while they wait, unless the user has chosen.

    Must be called before torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.update(LIMITED_SPINNING | os.environ)


@contextmanager
def environment_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables in the block, for the processes that it starts."""
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
    """Call `work(item)` for every item, in threads, while this thread makes the next items.

    At most `max_pending` items are in memory at a time. The first error of `work` or of `items`,
    and Ctrl-C, are raised when the items in work are done; items that wait are dropped.
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
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
