"""Keeps the threads of torch together on the CPUs that other processes leave free (Linux).

torch divides every operation among its threads, and all of them wait for the last one. One thread
that shares its CPU with another process slows all of them down by the time of that process. Threads
that share a free CPU with each other lose less. Their number stays, and with it every result to the
last bit.

Threads that wait for work spin, in OpenMP of GCC, so long that on a shared CPU they would keep it
from those that have work. On fewer CPUs they are made to sleep instead.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import NamedTuple

from dcgan.runtime.threads import available_cpus, once_for_all_threads

_INTERVAL = 0.5  # seconds between two looks at the load, on average
_ROUNDING = 0.6  # CPUs: so much of one that is free counts as one
_STAY_BONUS = 0.3  # CPUs: move to another CPU only if it is less loaded by this much
_MAX_INTRUSION = 0.25  # CPUs of others, for each of those that are thought to be free
_LOOKS_AFTER_RETURN = 60  # before fewer CPUs are tried again
_BINDING = frozenset({"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"})  # of OpenMP
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PARALLEL_SIZE = 2**18  # elements, so many that torch divides them among its threads


@once_for_all_threads
@contextmanager
def sharing_cpus() -> Iterator[None]:
    """Keep torch's threads on the CPUs that other processes leave free in the block.

    Does nothing where torch has one thread, or has no OpenMP of GCC, or there is no Linux, or where
    the environment binds each thread to a CPU.
    """
    import torch

    threads = torch.get_num_threads()
    if threads == 1 or not _can_place() or not _BINDING.isdisjoint(os.environ):
        yield
        return
    sharing, stop = CpuSharing(threads, os.sched_getaffinity(0)), threading.Event()
    watcher = threading.Thread(target=_watch, args=(sharing, stop), name="cpu-sharing", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def free_cpus(seconds: float = 0.2) -> int:
    """How many CPUs other processes leave free to this one, 1 at least, measured over some time.

    All that this process may use where there is no Linux.
    """
    count = available_cpus()
    if count == 1 or not hasattr(os, "sched_getaffinity"):
        return count
    try:
        load = _Load()
        threading.Event().wait(seconds)
        free = len(load.cpus) - round(sum(load.of_others(load.cpus).values()))
        return max(1, min(count, free))
    except OSError:
        return count


def choose_cpus(threads: int, current: set[int], load: Mapping[int, float]) -> set[int]:
    """The CPUs for so many threads, given the load on each by other processes, in CPUs.

    All of them, unless others leave fewer than `threads` free: then the least loaded ones, and of
    equal ones those that the threads are on now, `current`.
    """
    free = len(load) - sum(load.values())
    stays = current if len(current) < len(load) else set()
    # Others get less than they want beside these threads, and all of it on CPUs of their own: with
    # one threshold for both, a move would raise their load and call for the next move.
    count = max(1, int(free + (_ROUNDING if stays else 1 - _ROUNDING)))

    def cost(cpu: int) -> tuple[float, int]:
        return load[cpu] - _STAY_BONUS * (cpu in stays), cpu

    best = sorted(load, key=cost)
    # How much others want shows where the threads have CPUs for themselves: look there first.
    if stays and stays != set(best[: len(stays)]):
        count = min(count, len(stays))
    return set(load) if count >= threads else set(best[:count])


class Placement(NamedTuple):
    """The CPUs of the threads, and whether threads that wait must sleep early."""

    cpus: set[int]
    sleep_early: bool


class CpuSharing:
    """Decides where so many threads run, look by look at the load that others put on each CPU."""

    def __init__(self, threads: int, all_cpus: set[int]):
        self.threads, self.all_cpus = threads, all_cpus
        self.placement = self._wanted = Placement(all_cpus, False)
        self._looks_to_skip = 0

    def follow(self, load: Mapping[int, float]) -> Placement:
        """The placement from now on. It changes when two looks in a row agree."""
        if self._looks_to_skip:
            self._looks_to_skip -= 1
            return self.placement
        wanted, before = self._choose(load), self.placement
        if wanted == self._wanted:
            self.placement = wanted
        self._wanted = wanted
        if self.placement.cpus == self.all_cpus != before.cpus and self._would_leave(load):
            self._looks_to_skip = _LOOKS_AFTER_RETURN
        return self.placement

    def _would_leave(self, load: Mapping[int, float]) -> bool:
        """Whether threads on all CPUs would give some of them up beside this load."""
        return choose_cpus(self.threads, self.all_cpus, load) != self.all_cpus

    def _choose(self, load: Mapping[int, float]) -> Placement:
        current = self.placement.cpus
        chosen = choose_cpus(self.threads, current, load)
        if chosen == self.all_cpus:
            return Placement(self.all_cpus, False)
        # Others run on these CPUs too where they leave none free: then all CPUs give more time.
        crowded = sum(load[cpu] for cpu in chosen) > _MAX_INTRUSION * len(chosen)
        if chosen == current and crowded:
            return Placement(self.all_cpus, True)
        return Placement(chosen, True)


def _watch(sharing: CpuSharing, stop: threading.Event) -> None:
    """Place the threads of this process until `stop` is set; put everything back then."""
    sleepers: list[_Sleeper] = []
    random = Random()  # of this process: the interpreter's is the user's
    try:
        load = _Load()
        # At random times: two runs that look at once would flee to the same CPUs again and again.
        while not stop.wait(random.uniform(0.5, 1.5) * _INTERVAL):
            before = sharing.placement.cpus
            cpus, sleep_early = sharing.follow(load.of_others(before))
            while sleep_early and len(sleepers) < _needed_sleepers(sharing):
                sleepers.append(_Sleeper())
            if cpus != before:
                _set_affinity(cpus)
            if not sleep_early:
                _end(sleepers)
    # This system does not show the load, lets nobody choose CPUs, or starts no more threads.
    except (OSError, RuntimeError):
        pass
    finally:
        if sharing.placement.cpus != sharing.all_cpus:
            with suppress(OSError):
                _set_affinity(sharing.all_cpus)
        _end(sleepers)


def _needed_sleepers(sharing: CpuSharing) -> int:
    """So many that OpenMP counts more threads than CPUs: then no thread spins for long."""
    return (len(sharing.all_cpus) - sharing.threads) // (sharing.threads - 1) + 1


def _end(sleepers: list["_Sleeper"]) -> None:
    while sleepers:
        sleepers.pop().end()


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
        if busy.keys() != self.cpus:
            raise OSError("/proc/stat does not show all CPUs")
        own = os.times()
        return busy, total, own.user + own.system


def _set_affinity(cpus: set[int]) -> None:
    """Move all threads of this process to some CPUs; later threads inherit that."""
    moved: set[str] = set()
    # Until there are no new ones, which threads that were not moved yet have started.
    while tasks := set(os.listdir("/proc/self/task")) - moved:
        for task in tasks:
            with suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(int(task), cpus)
        moved |= tasks


def _can_place() -> bool:
    """Whether this is Linux, and torch's threads are those of GCC's OpenMP."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    try:
        return "libgomp" in Path("/proc/self/maps").read_text(errors="replace")
    except OSError:
        return False
