"""Training steps beside a busy process, by the way torch's threads are placed and wait."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from benchmarks.harness import Variant, time_in_processes
from benchmarks.step import repeat_work, start_dcgan_step
from dcgan.config import PRESETS

STEPS = {"faces": 80, "folder": 16}  # of a turn: seconds


@contextmanager
def _busy_process() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


PLACES = {"alone": nullcontext, "beside a busy process": _busy_process}


def _start_with_one_thread(*args) -> Callable[[], int]:
    import torch

    torch.set_num_threads(1)
    return start_dcgan_step(*args)


def _variants(preset: str) -> list[Variant]:
    config = PRESETS[preset]
    step = (config.width, config.batch_size, "auto", True, True, {}, "cpu")
    count = STEPS[preset]
    return [
        Variant("torch's threads", repeat_work, (count, start_dcgan_step, *step, False)),
        Variant(
            "threads that sleep after 1000 turns",
            repeat_work,
            (count, start_dcgan_step, *step, False),
            {"GOMP_SPINCOUNT": "1000"},
        ),
        Variant("one thread", repeat_work, (count, _start_with_one_thread, *step, False)),
        Variant("dcgan: threads on free CPUs", repeat_work, (count, start_dcgan_step, *step)),
    ]


def run(rounds: int) -> list[dict]:
    rows = []
    for preset in STEPS:
        for place, neighbour in PLACES.items():
            with neighbour():
                timings = time_in_processes(_variants(preset), rounds)
            rows += [timing.row(f"step of `{preset}`, {place}") for timing in timings]
    return rows
