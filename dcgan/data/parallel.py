"""Packing in several processes: each decodes chunks of images straight into their rows."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dcgan.data.rows import write_rows
from dcgan.data.sources.base import Source
from dcgan.errors import UserError
from dcgan.runtime.threads import environment_variables

ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


@dataclass
class PackingJob:
    """What every worker needs: where images come from, and the array they go to."""

    source: Source
    array: Path
    size: int
    channels: int
    crop: int | None

    def chunks(self) -> Iterator[range]:
        total, step = len(self.source), self.source.chunk
        for start in range(0, total, step):
            yield range(start, min(start + step, total))

    def write(self, chunk: range) -> tuple[int, dict[int, str]]:
        """Decode a chunk straight into its rows of the array; return its length and bad images."""
        images, bad = self.source.pixels(chunk, self.size, self.channels, self.crop)
        write_rows(self.array, chunk.start, images)
        return len(chunk), bad


def run_job(job: PackingJob, workers: int) -> Iterator[tuple[int, dict[int, str]]]:
    """Do the job chunk by chunk, in other processes where that is quicker."""
    chunks = job.chunks()
    workers = min(workers, -(-len(job.source) // job.source.chunk))
    if workers == 1 or job.source.in_process:
        yield from map(job.write, chunks)
        return
    # Spawned rather than forked: a fork would inherit the threads of torch in whatever state.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=start_worker, initargs=(job,))
    try:
        # Few chunks are under way at a time, so memory does not grow with the number of images.
        running = submit(pool, islice(chunks, 3 * workers))
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= submit(pool, islice(chunks, len(done)))
            for future in done:
                yield future.result()
    except BrokenProcessPool:
        raise UserError(
            "a packing process died, perhaps for want of memory: try fewer --workers"
        ) from None
    finally:
        # The array is deleted or renamed next: nobody may be writing to it still.
        pool.shutdown(wait=True, cancel_futures=True)


def submit(pool: ProcessPoolExecutor, chunks: Iterable[range]) -> set[Future]:
    """Hand chunks to the pool, which starts its processes meanwhile."""
    with inherited():
        return {pool.submit(write_chunk, chunk) for chunk in chunks}


@contextmanager
def inherited() -> Iterator[None]:
    """What new processes inherit: they block Ctrl-C, and multiply matrices on one thread.

    Ctrl-C reaches all processes of a terminal, but the parent alone is to decide what follows: so
    it is blocked until they have come to ignore it. And there is a process for every processor.
    """
    masks = hasattr(signal, "pthread_sigmask")
    before = masks and signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with environment_variables(ONE_THREAD):
            yield
    finally:
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker(job: PackingJob) -> None:
    global worker_job
    worker_job = job
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=die_with_parent, daemon=True).start()


def die_with_parent() -> None:
    """Without this, the workers of a killed process would wait for work for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def write_chunk(chunk: range) -> tuple[int, dict[int, str]]:
    return worker_job.write(chunk)
