"""Packing in several processes: each decodes chunks of images straight into their rows."""

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from dcgan.data.processes import CONTEXT, child_environment, exit_after, set_up_child
from dcgan.data.rows import write_rows
from dcgan.data.sources.base import Source
from dcgan.errors import UserError

# The slowest images that are accepted take a few seconds each, and a chunk has 32.
_MAX_CHUNK_SECONDS = 300


class Skipped(NamedTuple):
    """An image that cannot be read."""

    name: str
    reason: str


class ChunkResult(NamedTuple):
    """How many images of a chunk are done, and the bad ones among them by index."""

    count: int
    skipped: dict[int, Skipped]


@dataclass
class PackingJob:
    """What every worker needs: the source of the images, and the array they are written to."""

    source: Source
    array: Path
    size: int
    channels: int
    crop: int | None

    def chunks(self) -> Iterator[range]:
        total, step = len(self.source), self.source.chunk
        for start in range(0, total, step):
            yield range(start, min(start + step, total))

    def write(self, chunk: range) -> ChunkResult:
        """Decode a chunk straight into its rows of the array."""
        images, bad = self.source.pixels(chunk, self.size, self.channels, self.crop)
        write_rows(self.array, chunk.start, images)
        skipped = {i: Skipped(self.source.name(i), reason) for i, reason in bad.items()}
        return ChunkResult(len(chunk), skipped)


def run_job(job: PackingJob, workers: int) -> Iterator[ChunkResult]:
    """Do the job chunk by chunk: in worker processes where that is quicker, or safer.

    Raises UserError if a worker dies.
    """
    chunks = job.chunks()
    workers = min(workers, -(-len(job.source) // job.source.chunk))
    if job.source.in_process or (workers == 1 and not job.source.isolated):
        yield from map(job.write, chunks)
        return
    pool = ProcessPoolExecutor(workers, CONTEXT, initializer=_start_worker, initargs=(job,))
    try:
        # Few chunks are submitted ahead, so memory does not grow with the number of images.
        running = _submit(pool, islice(chunks, 3 * workers))
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= _submit(pool, islice(chunks, len(done)))
            for future in done:
                yield future.result()
    except BrokenProcessPool:
        raise UserError(f"a packing process died, {job.source.cause_of_death}") from None
    finally:
        # The array is deleted or renamed next: nobody may be writing to it still.
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, chunks: Iterable[range]) -> set[Future[ChunkResult]]:
    """Hand chunks to the pool, which starts its processes meanwhile."""
    with child_environment():
        return {pool.submit(_write_chunk, chunk) for chunk in chunks}


def _start_worker(job: PackingJob) -> None:
    global _worker_job
    _worker_job = job
    set_up_child()


def _write_chunk(chunk: range) -> ChunkResult:
    if not _worker_job.source.isolated:
        return _worker_job.write(chunk)
    with exit_after(_MAX_CHUNK_SECONDS):
        return _worker_job.write(chunk)


_worker_job: PackingJob  # of this worker process
