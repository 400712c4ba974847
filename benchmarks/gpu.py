"""The step of `benchmarks.step` on an NVIDIA GPU. Its kernels are short, so that what counts is how
few calls of Python launch them.
"""

from collections.abc import Callable

import torch

from benchmarks.harness import Variant, race
from benchmarks.step import EXAMPLE, ours, plain

STEPS = 64  # between two waits for the GPU; recordings are made within the first ones


def settled(start: Callable[..., Callable[[], int]], *args) -> Callable[[], int]:
    """Many steps of what `start(*args)` returns, and a wait until the GPU has done them."""
    from dcgan.runtime import device

    device.configure_torch()
    step = start(*args)

    def steps() -> int:
        images = sum(step() for _ in range(STEPS))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return images

    return steps


def variants(width: int, batch_size: int, device: str) -> list[Variant]:
    sizes, eager = (width, batch_size), {"cuda_graphs": False}
    recipes = {
        "dcgan, from Python": EXAMPLE | eager,
        "dcgan, recorded": EXAMPLE,
        "dcgan, the default recipe, from Python": eager,
        "dcgan, the default recipe, recorded": {},
    }
    return [Variant("in the order of PyTorch's example", settled, (plain, *sizes, device))] + [
        Variant(
            f"{name}, {precision}", settled, (ours, *sizes, precision, True, True, recipe, device)
        )
        for name, recipe in recipes.items()
        for precision in ("fp32", "bf16")
    ]


def run(rounds: int, width: int = 64, batch_sizes: tuple[int, ...] = (32, 128)) -> list[dict]:
    """No rows where there is no NVIDIA GPU."""
    if not torch.cuda.is_available():
        return []
    return [
        timing.row(f"step on {torch.cuda.get_device_name()}, width {width}, batch {batch_size}")
        for batch_size in batch_sizes
        for timing in race(variants(width, batch_size, "cuda"), rounds)
    ]
