"""Whole training steps captured in CUDA graphs and replayed with one call.

Python takes longer to launch the kernels of small networks than the GPU takes to run them. A replay
launches all of them at once.
"""

import gc
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan.runtime import distributed
from dcgan.training.batches import Batch

Step = Callable[..., dict[str, Tensor]]
WARM_UP = 3  # steps of each kind, in which cuDNN chooses kernels and Adam creates its state


def can_capture(device: torch.device) -> bool:
    """Whether steps can be captured: on NVIDIA GPUs, with their averages over processes."""
    on_nvidia = device.type == "cuda" and torch.version.cuda is not None
    return on_nvidia and distributed.can_capture_averages()


@dataclass(frozen=True)
class _CapturedStep:
    """The graph of a step, the batches that it reads, and the scalars that it returns."""

    graph: torch.cuda.CUDAGraph
    batches: list[Batch]
    result: dict[str, Tensor]

    def replay(self, batches: tuple[Batch, ...]) -> dict[str, Tensor]:
        """Run the step on new batches; the next replay overwrites its result."""
        for static, batch in zip(self.batches, batches, strict=True):
            for target, source in zip(static, batch, strict=True):
                target.copy_(source)
        self.graph.replay()
        return self.result


class CudaGraphs:
    """Runs a training step from Python while it warms up, then captures and replays it.

    It does not hold the step: a method would keep its trainer, which holds this object, in a
    reference cycle, and with it the memory of both networks.

    Steps with and without gradient penalties are captured separately, in one memory pool, once both
    have run WARM_UP times. The number of batches and the shapes of their tensors must not change,
    and everything else that the step reads must be on the device or constant. The next step
    overwrites the scalars that a step returns.

    Averages over processes are captured with the step. All processes must capture and replay the
    same steps, so that only the number of steps decides when, and the first steps open the
    connections that NCCL needs. PyTorch ends a process that waits ten minutes for another one in an
    operation launched from Python, but does not see those in graphs: every step must be followed by
    an average that is not captured.

    `kinds`: the values of `penalized` that will occur.
    """

    def __init__(self, kinds: Collection[bool]):
        self.eager_steps = dict.fromkeys(kinds, 0)
        self.captured: dict[bool, _CapturedStep] = {}
        self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()

    def run(self, step: Step, batches: tuple[Batch, ...], penalized: bool) -> dict[str, Tensor]:
        """Call or replay `step(*batches, penalized=...)`, which must be the same at every call."""
        if min(self.eager_steps.values()) < WARM_UP:
            self.eager_steps[penalized] += 1
            return self._run_on_side_stream(step, batches, penalized)
        if penalized not in self.captured:
            self.captured[penalized] = self._capture(step, batches, penalized)
        return self.captured[penalized].replay(batches)

    def _run_on_side_stream(
        self, step: Step, batches: tuple[Batch, ...], penalized: bool
    ) -> dict[str, Tensor]:
        """Run a step on a side stream, which capturing it later requires."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            result = step(*batches, penalized=penalized)
        torch.cuda.current_stream().wait_stream(self.stream)
        return result

    def _capture(self, step: Step, batches: tuple[Batch, ...], penalized: bool) -> _CapturedStep:
        """Capture a step without running it."""
        static = [Batch._make(tensor.clone() for tensor in batch) for batch in batches]
        graph = torch.cuda.CUDAGraph()
        distributed.reset_at_end(graph)  # before the capture: an error leaves a graph of a part
        # Meanwhile other threads pin the next batch, copy tensors that are being written, and look
        # for failures of NCCL.
        with (
            _garbage_collection_paused(),
            torch.cuda.graph(graph, self.pool, capture_error_mode="thread_local"),
        ):
            result = step(*static, penalized=penalized)
        return _CapturedStep(graph, static, result)


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Collect garbage now and not in the block: freeing an old graph would end a capture."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
