"""Time variants of the same work side by side, in turns, each in a warm process of its own."""

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

_PAUSE = 1.5  # seconds, in which a process sees that the one before it has become idle


@dataclass(frozen=True)
class Variant:
    """One way to do the work.

    `start(*args)` runs once, in a process of its own, and returns a function that does some work
    and returns the number of items processed. `start` must be defined at the top of a module.
    """

    name: str
    start: Callable[..., Callable[[], int]]
    args: tuple = ()
    environment: dict[str, str] = field(default_factory=dict)  # set before anything is imported


@dataclass(frozen=True)
class Timing:
    """The measured times of one variant."""

    name: str
    seconds: tuple[float, ...]  # per item, one for each round
    ratio: float  # how many times faster than the first variant: median over the rounds

    @property
    def median(self) -> float:
        """Median of the seconds per item."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the range of the rounds, relative to the median."""
        return (max(self.seconds) - min(self.seconds)) / 2 / self.median

    def row(self, benchmark: str, **more: float) -> dict:
        """The row of this variant in the results, with `more` columns."""
        return {
            "benchmark": benchmark,
            "variant": self.name,
            "median_s": self.median,
            "spread": self.spread,
            "ratio": self.ratio,
            **more,
        }


def time_in_processes(variants: Sequence[Variant], rounds: int) -> list[Timing]:
    """Time variants in turns, each in a warm process of its own."""
    with ExitStack() as stack:
        return time_in_turns(
            {v.name: stack.enter_context(variant_process(v)) for v in variants}, rounds
        )


def time_in_turns(works: dict[str, Callable[[], float]], rounds: int) -> list[Timing]:
    """Time functions in turns, so that a disturbance of the machine affects all of them.

    Each returns its seconds per item.
    """
    seconds = [[work() for work in works.values()] for _ in range(rounds)]
    first, *_ = columns = list(zip(*seconds, strict=True))
    return [
        Timing(name, column, statistics.median(a / b for a, b in zip(first, column, strict=True)))
        for name, column in zip(works, columns, strict=True)
    ]


@contextmanager
def variant_process(variant: Variant):
    """Start a variant and warm it up; yields a function that returns the seconds per item."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, variant), daemon=False)
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


def _serve(pipe, variant: Variant) -> None:
    """The main function of a variant's process: run the work once per message."""
    work = variant.start(*variant.args)
    try:
        while pipe.recv():
            time.sleep(_PAUSE)
            begun = time.perf_counter()
            items = work()
            pipe.send((time.perf_counter() - begun) / items)
    except EOFError:
        pass


class ForeignLoad:
    """Share of the CPU time taken by other processes during the block (Linux; else None)."""

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
        """CPU seconds: in use (by other guests of the host too), of this process, and in all."""
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
    """Model name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
