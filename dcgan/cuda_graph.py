"""A whole training step recorded once and replayed with one call (CUDA).

The kernels of small networks are shorter than the time that Python takes to launch them. A
replay launches all of them at once.
"""

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3  # calls, in which cuDNN chooses its kernels and Adam makes its state


class CudaGraph:
    """A function of a tuple of tensors, run as it is at first, then captured and replayed.

    The shapes of the tensors must not change, and whatever else the function reads must be on
    the device too or never change. What it returns is overwritten by the next call.
    """

    def __init__(self, function: Callable[[tuple], dict[str, Tensor]]):
        self.function = function
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream()

    def __call__(self, batch: tuple) -> dict[str, Tensor]:
        self.calls += 1
        if self.calls <= WARM_UP:
            return self.aside(batch)
        if self.graph is None:
            self.capture(batch)
        for ours, theirs in zip(self.batch, batch, strict=True):
            ours.copy_(theirs)
        self.graph.replay()
        return self.result

    def aside(self, batch: tuple) -> dict[str, Tensor]:
        """Call the function on a stream of its own, as what will be captured must have been."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            result = self.function(batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        return result

    def capture(self, batch: tuple) -> None:
        """Record the function without running it."""
        self.batch = type(batch)(*(tensor.clone() for tensor in batch))
        self.graph = torch.cuda.CUDAGraph()
        # Other threads pin the next batch and copy what is to be written meanwhile.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.result = self.function(self.batch)
