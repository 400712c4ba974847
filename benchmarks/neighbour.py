"""How threads wait for each other: steps of `faces` alone, and beside a process that keeps busy."""

import subprocess
import sys
from contextlib import contextmanager

from benchmarks.harness import Variant, race
from benchmarks.step import ours
from dcgan.config import PRESETS
from dcgan.runtime.threads import LIMITED_SPINNING

ROUNDS = 40  # for every one that was asked for: the steps are short, and luck lasts for many


@contextmanager
def busy_process():
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def run(rounds: int) -> list[dict]:
    faces = (PRESETS["faces"].width, PRESETS["faces"].batch_size, "auto", True, True, {})
    variants = [
        Variant("threads that spin, as by default", ours, faces),
        Variant("threads that sleep at once", ours, faces, {"OMP_WAIT_POLICY": "PASSIVE"}),
        Variant("dcgan: sleep after 1000 turns", ours, faces, LIMITED_SPINNING),
    ]
    rows = [t.row("step of `faces`, alone") for t in race(variants, ROUNDS * rounds)]
    with busy_process():
        rows += [t.row("beside a busy process") for t in race(variants, ROUNDS * rounds)]
    return rows
