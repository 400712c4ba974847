"""All ways to compute the stride-2 convolutions of the networks, beside the one that is chosen.

A forward and a backward pass as in training, with the gradients of maps and weights.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.harness import time_in_turns

SHAPES = [  # channels of the larger and the smaller maps, side of the smaller maps
    *[(256, 512, 4), (128, 256, 8), (64, 128, 16), (3, 64, 32)],  # of 64x64 images, width 64
    *[(96, 192, 4), (48, 96, 8), (24, 48, 16), (3, 24, 32)],  # width 24
]
TOLERANCE = 1.1  # times the fastest way: less is noise
SECONDS = 0.05  # of a measurement, at least


def run(rounds: int, batch_sizes: tuple[int, ...] = (16, 64, 128)) -> list[dict]:
    """Rows of the results: the chosen way of every layer, over PyTorch's operator.

    Prints the milliseconds of all ways.
    """
    from dcgan.runtime.device import configure_torch, has_native_bf16

    configure_torch()
    dtypes = [torch.float32]
    if has_native_bf16(torch.device("cpu")):
        dtypes.append(torch.bfloat16)
    return [
        _time_layer(shape, batch_size, dtype, transposed, rounds)
        for dtype in dtypes
        for batch_size in batch_sizes
        for shape in SHAPES
        for transposed in (False, True)
    ]


def _time_layer(
    shape: tuple[int, int, int], batch_size: int, dtype: torch.dtype, transposed: bool, rounds: int
) -> dict:
    """The row of one layer; prints its ways, and whether another is faster than the chosen one."""
    from dcgan.networks.strided_convolution import CONVOLUTIONS, TRANSPOSES, choose_way

    large, small, side = shape
    x = _maps(batch_size, small if transposed else large, side * (1 if transposed else 2), dtype)
    y = _maps(batch_size, large if transposed else small, side * (2 if transposed else 1), dtype)
    weight = _maps(small, large, 4, dtype)
    ways = TRANSPOSES if transposed else CONVOLUTIONS
    works = {way: _passes(ways[way], x, weight, y) for way in ways}
    for work in works.values():
        work()  # warms up
    timings = {timing.name: timing for timing in time_in_turns(works, rounds)}
    chosen = choose_way(x, weight, transposed)
    direction = f"{small} -> {large}" if transposed else f"{large} -> {small}"
    layer = f"{direction} at {side}x{side}, batch {batch_size}, {str(dtype).removeprefix('torch.')}"
    fastest = min(timings, key=lambda way: timings[way].median)
    slower = timings[chosen].median / timings[fastest].median
    times = ", ".join(f"{way} {1e3 * batch_size * t.median:.1f}" for way, t in timings.items())
    verdict = f"{fastest} is {slower:.2f} times as fast as {chosen}, which is chosen"
    print(f"  {layer}: {times} ms; {verdict if slower > TOLERANCE else f'{chosen} is chosen'}")
    return timings[chosen].row(layer)


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
