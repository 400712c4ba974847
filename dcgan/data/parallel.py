"""Packing in parallel: each worker process decodes chunks of images into their rows."""

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from dcgan.data.processes import (
    CONTEXT,
    ChildFailed,
    child_environment,
    exit_after,
    set_up_child,
    stream_from_child,
)
from dcgan.data.rows import write_rows
from dcgan.data.sources.base import Source
from dcgan.errors import UserError

# The slowest images that are accepted take a few seconds each, and a chunk has 32.
_MAX_CHUNK_SECONDS = 300
_MAX_IMAGE_SECONDS = 60
_MAX_CRASHES = 100  # of the processes that read an isolated source; a new one takes a second


class Skipped(NamedTuple):
    """An image that cannot be read."""

    name: str
    reason: str


class _ChunkResult(NamedTuple):
    """Number of images of a chunk that are done, and the bad ones among them by index."""

    done: int
    skipped: dict[int, Skipped]


@dataclass
class PackingJob:
    """The source of the images, and the .npy file that workers write them to."""

    source: Source
    array: Path
    size: int
    channels: int
    crop: int | None

    def chunks(self) -> Iterator[range]:
        total, step = len(self.source), self.source.chunk
        for start in range(0, total, step):
            yield range(start, min(start + step, total))

    def write(self, chunk: range) -> _ChunkResult:
        """Decode a chunk straight into its rows of the array."""
        images, bad = self.source.read_images(chunk, self.size, self.channels, self.crop)
        write_rows(self.array, chunk.start, images)
        skipped = {i: Skipped(self.source.name(i), reason) for i, reason in bad.items()}
        return _ChunkResult(len(chunk), skipped)


def run_job(job: PackingJob, workers: int) -> Generator[_ChunkResult, None, None]:
    """Do the job chunk by chunk, in worker processes if that is faster or safer.

    An image of an isolated source that crashes its worker is skipped. Raises UserError if a worker
    of another source crashes, or if more than 100 of an isolated one do.
    """
    chunks = job.chunks()
    workers = min(workers, -(-len(job.source) // job.source.chunk))
    if job.source.in_process or (workers == 1 and not job.source.isolated):
        yield from map(job.write, chunks)
        return
    crashes = 0
    while lost := (yield from _run_in_pool(job, workers, chunks)):
        for chunk in lost:
            if not job.source.isolated or crashes > _MAX_CRASHES:
                raise UserError(f"a packing process died, {job.source.crash_hint}")
            crashes += yield from _run_one_by_one(job, chunk)


def _run_in_pool(
    job: PackingJob, workers: int, chunks: Iterator[range]
) -> Generator[_ChunkResult, None, list[range]]:
    """Work through the chunks until a worker crashes; return the chunks that are lost by that."""
    pool = ProcessPoolExecutor(workers, CONTEXT, initializer=_start_worker, initargs=(job,))
    running: dict[Future[_ChunkResult], range] = {}
    lost: list[range] = []

    def submit(some: Iterable[range]) -> None:
        with child_environment():  # the pool starts its processes here
            for chunk in some:
                try:
                    running[pool.submit(_write_chunk, chunk)] = chunk
                except BrokenProcessPool:
                    lost.append(chunk)

    try:
        # Few chunks are submitted ahead, so memory does not grow with the number of images.
        submit(islice(chunks, 3 * workers))
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            if not lost:
                submit(islice(chunks, len(done)))
            for future in done:
                chunk = running.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    lost.append(chunk)
    finally:
        # The array is deleted or renamed next, so no worker may still be writing to it.
        pool.shutdown(wait=True, cancel_futures=True)
    return lost


def _run_one_by_one(job: PackingJob, chunk: range) -> Generator[_ChunkResult, None, int]:
    """Work through a lost chunk image by image; skip those that crash their process, count them."""
    crashes, next_image = 0, chunk.start
    while next_image < chunk.stop:
        rest = range(next_image, chunk.stop)
        try:
            for result in stream_from_child(_write_each, job, rest, timeout=_MAX_IMAGE_SECONDS):
                yield result
                next_image += 1
        except ChildFailed as failure:
            name = job.source.unread_name(next_image)  # this process must not open the source
            skipped = Skipped(name, f"the process that read it failed, {failure}")
            yield _ChunkResult(1, {next_image: skipped})
            crashes, next_image = crashes + 1, next_image + 1
    return crashes


def _write_each(job: PackingJob, images: range) -> Iterator[_ChunkResult]:
    return (job.write(range(i, i + 1)) for i in images)


def _start_worker(job: PackingJob) -> None:
    global _worker_job
    _worker_job = job
    set_up_child()


def _write_chunk(chunk: range) -> _ChunkResult:
    if not _worker_job.source.isolated:
        return _worker_job.write(chunk)
    with exit_after(_MAX_CHUNK_SECONDS):
        return _worker_job.write(chunk)


_worker_job: PackingJob  # of this worker process
