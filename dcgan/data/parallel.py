"""Packing in parallel: each worker process decodes chunks of images into their rows."""

import multiprocessing
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple

from dcgan.config import FitName, Levels
from dcgan.data.decoding.conversion import Conversion, Losses
from dcgan.data.processes import Child, ChildFailed, ChildNotStarted, exit_after, stream_from_child
from dcgan.data.rows import write_rows
from dcgan.data.sources.base import Source
from dcgan.errors import UserError

# The slowest images that are accepted take a few seconds each, and a chunk has 32.
_MAX_CHUNK_SECONDS = 300
_MAX_IMAGE_SECONDS = 60
_CHUNKS_AHEAD = 2  # of a worker, which would otherwise wait for this process after each
_MAX_CRASHES = 100  # of the processes that read an isolated source; a new one takes a second


class Skipped(NamedTuple):
    """An image that cannot be read."""

    name: str
    reason: str


class _ChunkResult(NamedTuple):
    """Number of images of a chunk that are done, the bad ones among them by index, and what the
    others have lost.
    """

    done: int
    skipped: dict[int, Skipped]
    losses: Losses


@dataclass
class PackingJob:
    """The source of the images, and the .npy files that workers write them and their masks to."""

    source: Source
    array: Path
    size: int
    channels: int
    crop: int | None
    fit: FitName
    levels: Levels
    masks: Path | None = None

    def chunks(self) -> Iterator[range]:
        total, step = len(self.source), self.source.chunk
        for start in range(0, total, step):
            yield range(start, min(start + step, total))

    def write(self, chunk: range) -> _ChunkResult:
        """Decode a chunk straight into its rows of the arrays."""
        conversion = Conversion(self.fit, self.levels)
        shape = self.size, self.channels, self.crop
        if self.masks:
            images, masks, bad = self.source.read_with_masks(chunk, *shape, conversion)
            write_rows(self.masks, chunk.start, masks)
        else:
            images, bad = self.source.read_images(chunk, *shape, conversion)
        write_rows(self.array, chunk.start, images)
        skipped = {i: Skipped(self.source.name(i), reason) for i, reason in bad.items()}
        return _ChunkResult(len(chunk), skipped, conversion.losses)


def run_job(job: PackingJob, workers: int) -> Generator[_ChunkResult, None, None]:
    """Do the job chunk by chunk, in worker processes if that is faster or safer.

    An image of an isolated source that crashes its worker is skipped. Raises UserError if a worker
    of another source crashes, or if more than 100 of an isolated one do.
    """
    workers = min(workers, -(-len(job.source) // job.source.chunk))
    if not job.source.isolated and (workers == 1 or _stays_here(job.source)):
        yield from map(job.write, job.chunks())
        return
    try:
        yield from _run_in_pool(job, workers)
    except ChildNotStarted as failure:
        hint = ": try fewer --workers" if failure.out_of_memory else ""
        raise UserError(f"a packing process failed: {failure}{hint}") from failure
    except ChildFailed as failure:
        hint = f", {job.source.crash_hint}" if failure.out_of_memory or job.source.isolated else ""
        raise UserError(f"a packing process failed: {failure}{hint}") from failure


def _stays_here(source: Source) -> bool:
    """Whether worker processes would not help, or cannot be had.

    They do not run the `__main__` module, and daemonic processes may not start any.
    """
    own = type(source).__module__ == "__main__"
    return source.in_process or own or multiprocessing.current_process().daemon


def _run_in_pool(job: PackingJob, workers: int) -> Generator[_ChunkResult, None, None]:
    """Do the job in worker processes. Raises ChildFailed where one fails and is not replaced."""
    busy: dict[Child, deque[range]] = {}
    crashes, chunks = 0, job.chunks()
    # The array is deleted or renamed next: no worker is left to write to it after the block.
    with ExitStack() as stack:
        idle = [stack.enter_context(closing(Child())) for _ in range(workers)]
        for child in idle:
            child.send(partial(_write_chunk, job))
        while True:
            for child in idle:
                sent = busy.setdefault(child, deque())
                for chunk in islice(chunks, _CHUNKS_AHEAD - len(sent)):
                    child.send(chunk)
                    sent.append(chunk)
            busy = {child: sent for child, sent in busy.items() if sent}
            if not busy:
                return
            answered = set(wait([child.connection for child in busy]))
            idle = [child for child in busy if child.connection in answered]
            for i, child in enumerate(idle):
                try:
                    yield child.receive()
                    busy[child].popleft()
                except ChildFailed as failure:
                    started = not isinstance(failure, ChildNotStarted)
                    if not (started and job.source.isolated and crashes <= _MAX_CRASHES):
                        raise
                    child.close()
                    for chunk in busy.pop(child):
                        crashes += yield from _run_one_by_one(job, chunk)
                    idle[i] = stack.enter_context(closing(Child()))
                    idle[i].send(partial(_write_chunk, job))


def _run_one_by_one(job: PackingJob, chunk: range) -> Generator[_ChunkResult, None, int]:
    """Work through a lost chunk image by image; skip those that crash their process, count them."""
    crashes, next_image = 0, chunk.start
    while next_image < chunk.stop:
        rest = range(next_image, chunk.stop)
        try:
            for result in stream_from_child(_write_each, job, rest, timeout=_MAX_IMAGE_SECONDS):
                yield result
                next_image += 1
        except ChildNotStarted:
            raise
        except ChildFailed as failure:
            name = job.source.unread_name(next_image)  # this process must not open the source
            skipped = Skipped(name, f"the process that read it failed, {failure}")
            yield _ChunkResult(1, {next_image: skipped}, Losses())
            crashes, next_image = crashes + 1, next_image + 1
    return crashes


def _write_each(job: PackingJob, images: range) -> Iterator[_ChunkResult]:
    return (job.write(range(i, i + 1)) for i in images)


def _write_chunk(job: PackingJob, chunk: range) -> _ChunkResult:
    if not job.source.isolated:
        return job.write(chunk)
    with exit_after(_MAX_CHUNK_SECONDS):
        return job.write(chunk)
