"""Keeps the threads of torch together on the CPUs that other processes leave free (Linux).

torch divides every operation among its threads, and all of them wait for the last one. Where one
of them takes turns with another process on a CPU, all are slowed down by that process; on fewer
CPUs, which they have for themselves, they take turns with each other alone. Their number, and with
it every result to the last bit, stays the same.

Threads that wait for work spin, in OpenMP of GCC, so long that on a shared CPU they would keep it
from those that have work. On fewer CPUs they are made to sleep instead.
"""

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from dcgan.runtime.threads import available_cpus, once_for_all_threads

_INTERVAL = 0.5  # seconds between two looks at the load
_STAY_BONUS = 0.3  # CPUs: move to another CPU only if it is less loaded by this much
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PARALLEL_SIZE = 2**18  # elements, so many that torch divides them among its threads


@once_for_all_threads
@contextmanager
def sharing_cpus() -> Iterator[None]:
    """Keep torch's threads on the CPUs that other processes leave free in the block.

    Does nothing where torch has one thread, or has no OpenMP of GCC, or there is no Linux.
    """
    import torch

    threads = torch.get_num_threads()
    if threads == 1 or not _has_libgomp():
        yield
        return
    sharing = _CpuSharing(threads)
    stop = threading.Event()
    watcher = threading.Thread(target=sharing.watch, args=(stop,), name="cpu-sharing", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def free_cpus(seconds: float = 0.2) -> int:
    """How many CPUs other processes leave free, 1 at least, measured over some time.

    All that this process may use where there is no Linux.
    """
    count = available_cpus()
    if sys.platform != "linux":
        return count
    load = _Load()
    threading.Event().wait(seconds)
    return max(1, count - round(sum(load.of_others(load.cpus).values())))


def choose_cpus(threads: int, current: set[int], load: Mapping[int, float]) -> set[int]:
    """The CPUs for so many threads, given the load on each by other processes, in CPUs.

    All of them, unless others leave fewer than `threads` free: then the least loaded ones, and of
    equal ones those that the threads are on now, `current`.
    """
    free = len(load) - sum(load.values())
    count = max(1, int(free + 0.5))
    if count >= threads:
        return set(load)
    stays = current if len(current) < len(load) else set()

    def cost(cpu: int) -> tuple[float, int]:
        return load[cpu] - _STAY_BONUS * (cpu in stays), cpu

    return set(sorted(load, key=cost)[:count])


class _CpuSharing:
    """Where the threads of this process are, and the threads that make the others sleep."""

    def __init__(self, threads: int):
        self.threads = threads
        self.all_cpus = self.current = os.sched_getaffinity(0)
        self.wanted = self.current
        self.sleepers: list[_Sleeper] = []

    def watch(self, stop: threading.Event) -> None:
        """Follow the load of other processes until `stop` is set; put everything back then."""
        load = _Load()
        while not stop.wait(_INTERVAL):
            chosen = choose_cpus(self.threads, self.current, load.of_others(self.current))
            if chosen == self.wanted != self.current:  # twice in a row
                self._move_to(chosen)
            self.wanted = chosen
        self._move_to(self.all_cpus)

    def _move_to(self, cpus: set[int]) -> None:
        if len(cpus) < self.threads:
            self._add_sleepers()
        _set_affinity(cpus)
        self.current = cpus
        if len(cpus) >= self.threads:
            while self.sleepers:
                self.sleepers.pop().end()

    def _add_sleepers(self) -> None:
        """Start so many that OpenMP counts more threads than CPUs: then none spins for long."""
        needed = (len(self.all_cpus) - self.threads) // (self.threads - 1) + 1
        while len(self.sleepers) < needed:
            self.sleepers.append(_Sleeper())


class _Sleeper:
    """A thread with a team of OpenMP threads, all of which sleep until its end."""

    def __init__(self) -> None:
        self._started, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="sleeper", daemon=True)
        self._thread.start()
        self._started.wait()

    def _run(self) -> None:
        import torch

        torch.ones(_PARALLEL_SIZE, dtype=torch.uint8).add_(1)
        self._started.set()
        self._end.wait()

    def end(self) -> None:
        self._end.set()
        self._thread.join()


class _Load:
    """Measures how busy other processes keep the CPUs that this process may use."""

    def __init__(self) -> None:
        self.cpus = os.sched_getaffinity(0)
        self._busy, self._total, self._own = self._read()

    def of_others(self, current: set[int]) -> dict[int, float]:
        """The load by other processes since the last call: {CPU: share of its time in [0, 1]}.

        What this process has used is counted as spread evenly over its CPUs, `current`.
        """
        busy, total, own = self._read()
        seconds = max((total - self._total) / len(self.cpus), 1 / _TICKS)
        share = (own - self._own) / seconds / len(current)
        load = {
            cpu: (busy[cpu] - self._busy[cpu]) / seconds - share * (cpu in current) for cpu in busy
        }
        self._busy, self._total, self._own = busy, total, own
        return load

    def _read(self) -> tuple[dict[int, float], float, float]:
        """CPU seconds: busy of each CPU, of all CPUs in all, and of this process."""
        busy, total = {}, 0.0
        for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
            name, *ticks = line.split()
            if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in self.cpus:
                user, nice, system, idle, iowait, irq, softirq, *_ = map(int, ticks)
                # Not the time that a hypervisor takes: no other CPU would be free of that.
                work = user + nice + system + irq + softirq
                busy[int(name[3:])] = work / _TICKS
                total += (work + idle + iowait) / _TICKS
        own = os.times()
        return busy, total, own.user + own.system


def _set_affinity(cpus: set[int]) -> None:
    """Move all threads of this process to some CPUs; later threads inherit that."""
    for task in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(int(task), cpus)


def _has_libgomp() -> bool:
    """Whether torch's threads are those of GCC's OpenMP, on Linux."""
    try:
        return "libgomp" in Path("/proc/self/maps").read_text(errors="replace")
    except OSError:
        return False
