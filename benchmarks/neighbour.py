"""Training steps of `faces` by the way OpenMP threads wait, alone and beside a busy process."""

import subprocess
import sys
from contextlib import contextmanager

from benchmarks.harness import Variant, time_in_processes
from benchmarks.step import start_dcgan_step
from dcgan.config import PRESETS
from dcgan.runtime.openmp import LIMITED_SPINNING

ROUND_FACTOR = 40  # times --rounds: the steps are short and vary for many at a time


@contextmanager
def _busy_process():
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def run(rounds: int) -> list[dict]:
    faces = (PRESETS["faces"].width, PRESETS["faces"].batch_size, "auto", True, True, {})
    variants = [
        Variant("threads that spin, as by default", start_dcgan_step, faces),
        Variant("threads that sleep at once", start_dcgan_step, faces, {"GOMP_SPINCOUNT": "0"}),
        Variant("dcgan: sleep after 1000 turns", start_dcgan_step, faces, LIMITED_SPINNING),
    ]
    rows = [
        t.row("step of `faces`, alone") for t in time_in_processes(variants, ROUND_FACTOR * rounds)
    ]
    with _busy_process():
        rows += [
            t.row("beside a busy process")
            for t in time_in_processes(variants, ROUND_FACTOR * rounds)
        ]
    return rows
