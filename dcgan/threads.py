"""Small jobs in threads, for work that is done outside Python's lock: zlib's and the disk's."""

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
MOST = 8  # more threads would wait for each other: a fourth of the work is Python's


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
