"""Whole training steps recorded once and replayed with one call (CUDA).

The kernels of small networks are shorter than the time that Python takes to launch them. A
replay launches all of them at once.
"""

import gc
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan.runtime import distributed

WARM_UP = 3  # steps of a kind, in which cuDNN chooses its kernels and Adam makes its state
Batch = tuple[Tensor, ...]  # a named one


def can_record(device: torch.device) -> bool:
    """Whether steps can be recorded: on an NVIDIA GPU, by one process."""
    on_nvidia = device.type == "cuda" and torch.version.cuda is not None
    return on_nvidia and distributed.world_size() == 1


@dataclass(frozen=True)
class Recording:
    """A captured step, the batches that it reads, and what it returns."""

    graph: torch.cuda.CUDAGraph
    batches: list[Batch]
    result: dict[str, Tensor]

    def replay(self, batches: tuple[Batch, ...]) -> dict[str, Tensor]:
        for ours, theirs in zip(self.batches, batches, strict=True):
            for kept, given in zip(ours, theirs, strict=True):
                kept.copy_(given)
        self.graph.replay()
        return self.result


class CudaGraphs:
    """A step with penalties and one without, taken as they are until both are warm, then replayed.

    From then on no step needs memory of its own: both recordings use the same. The number of the
    batches and the shapes of their tensors must not change, and whatever else the step reads must
    be on the device too or never change. What it returns is overwritten by the next one.

    `kinds`: whether there will be steps without penalties (False), and with them (True).
    """

    def __init__(self, step: Callable[..., dict[str, Tensor]], kinds: Collection[bool]):
        self.step = step
        self.taken = dict.fromkeys(kinds, 0)
        self.recordings: dict[bool, Recording] = {}
        self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()

    def __call__(self, *batches: Batch, penalised: bool) -> dict[str, Tensor]:
        if min(self.taken.values()) < WARM_UP:
            self.taken[penalised] += 1
            return self.aside(batches, penalised)
        if penalised not in self.recordings:
            self.recordings[penalised] = self.captured(batches, penalised)
        return self.recordings[penalised].replay(batches)

    def aside(self, batches: tuple[Batch, ...], penalised: bool) -> dict[str, Tensor]:
        """Take a step on a stream of its own, as one that will be captured must have been."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            result = self.step(*batches, penalised=penalised)
        torch.cuda.current_stream().wait_stream(self.stream)
        return result

    def captured(self, batches: tuple[Batch, ...], penalised: bool) -> Recording:
        """Record a step without taking it."""
        batches = [batch._make(tensor.clone() for tensor in batch) for batch in batches]
        graph = torch.cuda.CUDAGraph()
        # Other threads pin the next batch and copy what is to be written meanwhile.
        with garbage_kept(), torch.cuda.graph(graph, self.pool, capture_error_mode="thread_local"):
            result = self.step(*batches, penalised=penalised)
        return Recording(graph, batches, result)


@contextmanager
def garbage_kept() -> Iterator[None]:
    """Collect garbage now, not in the block: a capture ends where an old graph is freed."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
