"""Whole training steps recorded once each and replayed with one call (CUDA).

The kernels of small networks are shorter than the time that Python takes to launch them. A
replay launches all of them at once.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UP = 3  # calls, in which cuDNN chooses its kernels and Adam makes its state
Batch = tuple[Tensor, ...]  # a named one
Step = Callable[..., dict[str, Tensor]]  # of batches


class CudaGraph:
    """A step, taken as it is at first, then captured and replayed.

    The number of its batches and the shapes of their tensors must not change, and whatever else
    the step reads must be on the device too or never change. What it returns is overwritten by the
    next call, and by that of any other recording with the same `pool` of memory.
    """

    def __init__(self, step: Step, pool: tuple[int, int]):
        self.step, self.pool = step, pool
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream()

    def __call__(self, *batches: Batch) -> dict[str, Tensor]:
        self.calls += 1
        if self.calls <= WARM_UP:
            return self.aside(*batches)
        if self.graph is None:
            self.capture(*batches)
        for ours, theirs in zip(self.batches, batches, strict=True):
            for kept, given in zip(ours, theirs, strict=True):
                kept.copy_(given)
        self.graph.replay()
        return self.result

    def aside(self, *batches: Batch) -> dict[str, Tensor]:
        """Take the step on a stream of its own, as one that will be captured must have been."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            result = self.step(*batches)
        torch.cuda.current_stream().wait_stream(self.stream)
        return result

    def capture(self, *batches: Batch) -> None:
        """Record the step without taking it."""
        self.batches = [batch._make(tensor.clone() for tensor in batch) for batch in batches]
        self.graph = torch.cuda.CUDAGraph()
        # Other threads pin the next batch and copy what is to be written meanwhile.
        with torch.cuda.graph(self.graph, self.pool, capture_error_mode="thread_local"):
            self.result = self.step(*self.batches)


def recordings(steps: Sequence[Step]) -> list[CudaGraph]:
    """One of each step. No two ever run at once, so that they share the memory they need."""
    pool = torch.cuda.graph_pool_handle()
    return [CudaGraph(step, pool) for step in steps]
