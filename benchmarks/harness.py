"""Variants of the same work, timed side by side: each in a warm process of its own, by turns."""

import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dcgan.runtime.threads import environment_variables


@dataclass(frozen=True)
class Variant:
    """One way to do the work.

    `start(*args)` runs once, in a process of its own, and returns the work: a function that does
    some of it and returns how many items that was. `start` must be a function of a module.
    """

    name: str
    start: Callable[..., Callable[[], int]]
    args: tuple = ()
    environment: dict[str, str] = field(default_factory=dict)  # set before anything is imported


@dataclass(frozen=True)
class Timing:
    """What the rounds of one variant gave."""

    name: str
    seconds: tuple[float, ...]  # an item, of every round
    ratio: float  # how many times faster than the first variant: median over the rounds

    @property
    def median(self) -> float:
        """Seconds an item."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the distance from the fastest round to the slowest, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / 2 / self.median

    def row(self, benchmark: str, **more: float) -> dict:
        """What the table shows of it."""
        return {
            "benchmark": benchmark,
            "variant": self.name,
            "median_s": self.median,
            "spread": self.spread,
            "ratio": self.ratio,
            **more,
        }


def race(variants: Sequence[Variant], rounds: int) -> list[Timing]:
    """Time the variants in warm processes."""
    with ExitStack() as stack:
        return alternate({v.name: stack.enter_context(runner(v)) for v in variants}, rounds)


def alternate(works: dict[str, Callable[[], float]], rounds: int) -> list[Timing]:
    """Time works by turns, so that what disturbs the machine disturbs all of them.

    Each returns its seconds an item.
    """
    seconds = [[work() for work in works.values()] for _ in range(rounds)]
    first, *_ = columns = list(zip(*seconds, strict=True))
    return [
        Timing(name, column, statistics.median(a / b for a, b in zip(first, column, strict=True)))
        for name, column in zip(works, columns, strict=True)
    ]


@contextmanager
def runner(variant: Variant):
    """Start a variant; yields a function that runs it once and returns the seconds an item."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, variant), daemon=False)
    with environment_variables(variant.environment):
        process.start()
    theirs.close()

    def run() -> float:
        try:
            ours.send("run")
            return ours.recv()
        except (EOFError, ConnectionError) as error:
            raise RuntimeError(f"{variant.name}: its process died") from error

    try:
        run()  # the warm-up: imports, page faults, choice of kernels
        yield run
    finally:
        ours.close()
        process.join()


def serve(pipe, variant: Variant) -> None:
    """In the process of a variant: run it whenever it is asked for."""
    work = variant.start(*variant.args)
    try:
        while pipe.recv():
            begun = time.perf_counter()
            items = work()
            pipe.send((time.perf_counter() - begun) / items)
    except EOFError:
        pass


class ForeignLoad:
    """The share of the processors that went to others while the block ran (Linux; else None)."""

    share: float | None = None

    def __enter__(self) -> "ForeignLoad":
        self.begun = self.clocks()
        return self

    def __exit__(self, *_) -> None:
        if self.begun:
            used, ours, total = (b - a for a, b in zip(self.begun, self.clocks(), strict=True))
            # Less than a tick of the clocks says nothing.
            self.share = max(0.0, (used - ours) / total) if total else None

    @staticmethod
    def clocks() -> tuple[float, float, float] | None:
        """Seconds in use (by the hypervisor's other guests too), our own share, and all."""
        try:
            ticks = [int(word) for word in Path("/proc/stat").read_text().split()[1:9]]
        except OSError:
            return None
        own = os.times()
        ours = own.user + own.system + own.children_user + own.children_system
        total = sum(ticks) / os.sysconf("SC_CLK_TCK")
        idle = (ticks[3] + ticks[4]) / os.sysconf("SC_CLK_TCK")
        return total - idle, ours, total


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
