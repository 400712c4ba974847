"""All ways to compute the stride-2 convolutions of the networks, and the one that is chosen.

A forward and a backward pass as in training, with the gradients of maps and weights.
"""

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.harness import Timing, time_in_turns

SHAPES = [  # channels of the larger and the smaller maps, side of the smaller maps
    *[(256, 512, 4), (128, 256, 8), (64, 128, 16), (3, 64, 32)],  # of 64x64 images, width 64
    *[(96, 192, 4), (48, 96, 8), (24, 48, 16), (3, 24, 32)],  # width 24
]
TOLERANCE = 1.1  # times as slow as the fastest way is as good as it, on machines that vary
SECONDS = 0.05  # of a measurement, at least


def run(rounds: int, batch_sizes: tuple[int, ...] = (16, 64, 128)) -> list[dict]:
    """Rows of the results, a table of which is the last thing that is printed."""
    from dcgan.runtime.device import configure_torch, has_native_bf16

    configure_torch()
    dtypes = [torch.float32]
    if has_native_bf16(torch.device("cpu")):
        dtypes.append(torch.bfloat16)
    return [
        row
        for dtype in dtypes
        for batch_size in batch_sizes
        for shape in SHAPES
        for transposed in (False, True)
        for row in _time_layer(shape, batch_size, dtype, transposed, rounds)
    ]


def _time_layer(
    shape: tuple[int, int, int], batch_size: int, dtype: torch.dtype, transposed: bool, rounds: int
) -> Iterator[dict]:
    """The rows of one layer; prints where the chosen way is not the fastest."""
    from dcgan.networks.strided_convolution import CONVOLUTIONS, TRANSPOSES, choose_way

    large, small, side = shape
    x = _maps(batch_size, small if transposed else large, side * (1 if transposed else 2), dtype)
    y = _maps(batch_size, large if transposed else small, side * (2 if transposed else 1), dtype)
    weight = _maps(small, large, 4, dtype)
    ways = TRANSPOSES if transposed else CONVOLUTIONS
    works = {way: _passes(ways[way], x, weight, y) for way in ways}
    for work in works.values():
        work()  # warms up
    timings = time_in_turns(works, rounds)
    chosen = choose_way(x, weight, transposed)
    direction = f"{small} -> {large}" if transposed else f"{large} -> {small}"
    layer = f"{direction} at {side}x{side}, batch {batch_size}, {str(dtype).removeprefix('torch.')}"
    best = min(timings, key=_median)
    (own,) = (timing for timing in timings if timing.name == chosen)
    if own.median > TOLERANCE * best.median:
        print(f"  {layer}: {best.name} is {own.median / best.median:.2f} times as fast as {chosen}")
    for timing in timings:
        name = f"{timing.name} (chosen)" if timing.name == chosen else timing.name
        yield {**timing.row(layer), "variant": name}


def _median(timing: Timing) -> float:
    return timing.median


def _maps(n: int, channels: int, side: int, dtype: torch.dtype) -> Tensor:
    maps = torch.randn(n, channels, side, side, dtype=dtype)
    return maps.contiguous(memory_format=torch.channels_last).requires_grad_()


def _passes(
    operator: Callable[..., Tensor], x: Tensor, weight: Tensor, gradient: Tensor
) -> Callable[[], float]:
    """A function that returns the seconds of a forward and a backward pass for one image."""

    def work() -> float:
        passes, elapsed, begun = 0, 0.0, time.perf_counter()
        while elapsed < SECONDS:
            torch.autograd.grad(operator(x, weight), (x, weight), gradient.detach())
            passes, elapsed = passes + 1, time.perf_counter() - begun
        return elapsed / passes / len(x)

    return work
