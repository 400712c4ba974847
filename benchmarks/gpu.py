"""The step of `benchmarks.step` on an NVIDIA GPU: launched from Python, and as CUDA graphs."""

from collections.abc import Callable

import torch

from benchmarks.harness import Variant, time_in_processes
from benchmarks.step import EXAMPLE, start_dcgan_step, start_example_step

STEPS = 64  # between two synchronisations; CUDA graphs are recorded in the first ones


def _start_many_steps(start: Callable[..., Callable[[], int]], *args) -> Callable[[], int]:
    """STEPS steps of the work that `start(*args)` returns, then a synchronisation, per call."""
    from dcgan.runtime import device

    device.configure_torch()
    step = start(*args)

    def steps() -> int:
        images = sum(step() for _ in range(STEPS))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return images

    return steps


def make_variants(width: int, batch_size: int, device: str) -> list[Variant]:
    sizes, eager = (width, batch_size), {"cuda_graphs": False}
    recipes = {
        "dcgan, from Python": EXAMPLE | eager,
        "dcgan, recorded": EXAMPLE,
        "dcgan, the default recipe, from Python": eager,
        "dcgan, the default recipe, recorded": {},
    }
    return [
        Variant(
            "in the order of PyTorch's example",
            _start_many_steps,
            (start_example_step, *sizes, device),
        )
    ] + [
        Variant(
            f"{name}, {precision}",
            _start_many_steps,
            (start_dcgan_step, *sizes, precision, True, True, recipe, device),
        )
        for name, recipe in recipes.items()
        for precision in ("fp32", "bf16")
    ]


def run(rounds: int, width: int = 64, batch_sizes: tuple[int, ...] = (32, 128)) -> list[dict]:
    """Rows of the results; none without an NVIDIA GPU."""
    if not torch.cuda.is_available():
        return []
    return [
        timing.row(f"step on {torch.cuda.get_device_name()}, width {width}, batch {batch_size}")
        for batch_size in batch_sizes
        for timing in time_in_processes(make_variants(width, batch_size, "cuda"), rounds)
    ]
