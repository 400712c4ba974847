"""Reading the rows of a batch from images.npy, from the disk and from the page cache (Linux)."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.harness import time_in_turns
from dcgan.data import row_reader
from dcgan.data.rows import create_array, write_rows

SHAPE = (64, 64, 3)
COUNT = 200_000  # images, of 12 kB: 2.5 GB
BATCH, BATCHES = 128, 10
STEP_SECONDS = 0.0035  # of a small network on a GPU


def run(rounds: int, count: int = COUNT) -> list[dict]:
    """Time reading random rows of `count` images, the same way and in the same order as training.

    A cold file is dropped from the page cache before each round.
    """
    rng, results = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as folder:
        path = _write(Path(folder) / "images.npy", count)
        array = np.load(path, mmap_mode="r")
        dcgan = row_reader(array)

        def timed(read: Callable[[list[np.ndarray]], float], is_cold: bool) -> float:
            batches = [rng.choice(count, BATCH, replace=False) for _ in range(BATCHES)]
            if is_cold:
                _drop_from_cache(path)
            else:
                _one_by_one(path, batches)
            return read(batches) / (BATCH * BATCHES)

        variants = {
            "one after another": lambda batches: _one_by_one(path, batches),
            "dcgan: requested together": lambda batches: _wait(dcgan, batches),
            "dcgan, requested a step before": lambda batches: _wait(dcgan, batches, STEP_SECONDS),
        }
        for name, is_cold in (("from the disk", True), ("from the page cache", False)):
            works = {
                variant: lambda read=read, is_cold=is_cold: timed(read, is_cold)
                for variant, read in variants.items()
            }
            benchmark = f"rows of {SHAPE[0]}x{SHAPE[1]}x{SHAPE[2]}, batch {BATCH}, {name}"
            results += [timing.row(benchmark) for timing in time_in_turns(works, rounds)]
    return results


def _write(path: Path, count: int) -> Path:
    """A file of random images that are on the disk."""
    create_array(path, (count, *SHAPE))
    block = np.random.default_rng(0).integers(0, 256, (1000, *SHAPE), dtype=np.uint8)
    for first in range(0, count, len(block)):
        write_rows(path, first, block[: count - first])
    with open(path, "r+b") as file:
        os.fsync(file.fileno())
    return path


def _drop_from_cache(path: Path) -> None:
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _one_by_one(path: Path, batches: list[np.ndarray]) -> float:
    """Seconds to read all rows of the batches, each after the one before it."""
    row_bytes = int(np.prod(SHAPE))
    with open(path, "rb") as file:
        start = os.path.getsize(path) % row_bytes  # the header
        begun = time.perf_counter()
        for batch in batches:
            rows = np.empty((len(batch), row_bytes), np.uint8)
            for row, i in zip(rows, batch.tolist(), strict=True):
                os.preadv(file.fileno(), [row], start + i * row_bytes)
        return time.perf_counter() - begun


def _wait(read, batches: list[np.ndarray], step_seconds: float = 0) -> float:
    """Seconds of waiting for batches; with a step, the next is requested before it."""
    waited = 0.0
    for batch in batches:
        begun = time.perf_counter()
        if step_seconds:
            read.prefetch(batch)
        waited += time.perf_counter() - begun
        time.sleep(step_seconds)
        begun = time.perf_counter()
        read(batch)
        waited += time.perf_counter() - begun
    return waited
