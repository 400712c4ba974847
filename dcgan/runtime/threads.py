"""A thread pool for files, and settings of the process that several threads change."""

import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar, cast

Item = TypeVar("Item")
Manager = TypeVar("Manager", bound=Callable[[], AbstractContextManager])
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of the container, as seen inside it
_MAX_THREADS = 8  # more would not help: a fourth of the work holds Python's interpreter lock


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


def once_for_all_threads(manager: Manager) -> Manager:
    """A context manager that sets and restores what all threads share: of blocks that overlap, the
    first one enters `manager`, and the last one leaves it.
    """
    lock, entered, blocks = threading.RLock(), ExitStack(), 0

    @contextmanager
    @functools.wraps(manager)
    def shared() -> Iterator[None]:
        nonlocal blocks
        with lock:
            if not blocks:
                entered.enter_context(manager())
            blocks += 1
        try:
            yield
        finally:
            with lock:
                blocks -= 1
                if not blocks:
                    entered.close()

    return cast(Manager, shared)


def parallel_for_each(
    work: Callable[[Item], object], items: Iterable[Item], max_pending: int
) -> None:
    """Call `work(item)` for every item, in threads, while this thread makes the next items.

    At most `max_pending` items are in memory at a time. After an error of `work` or of `items`, or
    Ctrl-C, waiting items are dropped, and it is raised when the running ones are done.
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
    """How many CPUs this process may use, by its affinity and by the quota of its container."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return within_quota(len(os.sched_getaffinity(0)))


def within_quota(cpus: int) -> int:
    """So many CPUs, or as many as the quota of the container allows, if that is fewer."""
    return min(cpus, _cpu_quota(_CGROUP_QUOTA) or cpus)


def _cpu_quota(path: Path) -> int | None:
    """The CPUs that a control group may use, 1 at least, from its cpu.max (cgroup v2); None for any
    number.
    """
    try:
        quota, period = path.read_text(encoding="ascii").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # no limit is "max"
        return None
