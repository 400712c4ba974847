"""The step of `benchmarks.step` on an NVIDIA GPU: PyTorch's example, dcgan launched from Python,
and dcgan recorded as CUDA graphs. Then the kernels of recorded steps, by kind and by name.
"""

import multiprocessing
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.harness import Variant, time_in_processes
from benchmarks.step import EXAMPLE, start_dcgan_step, start_example_step

STEPS = 64  # between two synchronisations; CUDA graphs are recorded in the first ones
BATCH_SIZES = (32, 128, 512)
PROFILED_BATCH_SIZE = 128
LONGEST = 15  # kernels that are listed by name
# Kinds of kernels and their names in cuDNN, cuBLAS, NCCL and PyTorch. The first match counts.
KINDS = {
    "averages over processes": "nccl",
    "changes of layout": "nchwToNhwc|nhwcToNchw|Folded|AddPadding|convertTensor|transpose",
    "optimizers, norms and averages of parameters": "multi_tensor_apply",
    "batch norm": "batch_?norm|bn_(fw|bw)",
    "convolutions": "fprop|dgrad|wgrad|conv|implicit",
    "matrix products": "gemm|gemv|cutlass|splitK",
    "copies and casts": "copy|Memcpy|Memset|CatArray|FillFunctor",
    "reductions": "reduce|norm|sort",
    "other elementwise": "elementwise",
    "other": "",
}


class Kernel(NamedTuple):
    """A kernel by its name, how often a step launches it, and the seconds of these launches."""

    name: str
    launches: float
    seconds: float


class _InBf16(nn.Module):
    """A network of PyTorch's example under autocast, with channels last."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            maps = self.network(x.contiguous(memory_format=torch.channels_last))
        return maps.float()  # its loss refuses bf16


def _start_bf16_example_step(width: int, batch_size: int, device: str) -> Callable[[], int]:
    """Training steps of PyTorch's example, with the two changes that GPUs gain from at once."""
    from benchmarks.pytorch_example import ExampleTrainer

    trainer = ExampleTrainer(width, device)
    trainer.G, trainer.D = _InBf16(trainer.G), _InBf16(trainer.D)
    real = torch.rand(batch_size, 3, 64, 64, device=device) * 2 - 1
    real = real.contiguous(memory_format=torch.channels_last)

    def step() -> int:
        trainer.update(real)
        return batch_size

    return step


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


def _dcgan_step(
    width: int, batch_size: int, precision: str, recipe: Mapping, device: str
) -> tuple[Callable, ...]:
    """Arguments of `_start_many_steps` for steps of dcgan."""
    return start_dcgan_step, width, batch_size, precision, True, True, recipe, device


def make_variants(width: int, batch_size: int, device: str) -> list[Variant]:
    sizes, eager = (width, batch_size), {"cuda_graphs": False}
    variants = [
        ("PyTorch's example", (start_example_step, *sizes, device)),
        (
            "PyTorch's example, channels last, bf16",
            (_start_bf16_example_step, *sizes, device),
        ),
    ]
    for name, recipe in (("dcgan", EXAMPLE), ("dcgan, the default recipe", {})):
        variants += [
            (
                f"{name}, from Python, bf16",
                _dcgan_step(*sizes, "bf16", {**recipe, **eager}, device),
            ),
            (f"{name}, recorded, fp32", _dcgan_step(*sizes, "fp32", recipe, device)),
            (f"{name}, recorded, bf16", _dcgan_step(*sizes, "bf16", recipe, device)),
        ]
    return [Variant(name, _start_many_steps, args) for name, args in variants]


def run(rounds: int, width: int = 64) -> list[dict]:
    """Rows of the results; none without an NVIDIA GPU."""
    if not torch.cuda.is_available():
        return []
    rows = [
        timing.row(f"step on {torch.cuda.get_device_name()}, width {width}, batch {batch_size}")
        for batch_size in BATCH_SIZES
        for timing in time_in_processes(make_variants(width, batch_size, "cuda"), rounds)
    ]
    for name, recipe in (("dcgan", EXAMPLE), ("dcgan, the default recipe", {})):
        args = _dcgan_step(width, PROFILED_BATCH_SIZE, "bf16", recipe, "cuda")
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, spawn) as process:
            seconds, kernels = process.submit(_profile_steps, *args).result()
        rows += kernel_rows(
            f"{name}, recorded, bf16, batch {PROFILED_BATCH_SIZE}", seconds, kernels
        )
    return rows


def _profile_steps(*args) -> tuple[float, list[Kernel]]:
    """The seconds of a step of `_start_many_steps(*args)`, and its kernels."""
    steps = _start_many_steps(*args)
    steps()
    begun = time.perf_counter()
    steps()
    seconds = (time.perf_counter() - begun) / STEPS
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        steps()
    events = profile.key_averages()
    kernels = [
        Kernel(event.key, event.count / STEPS, event.self_device_time_total / 1e6 / STEPS)
        for event in events
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation
    ]
    return seconds, kernels


def kernel_rows(benchmark: str, step_seconds: float, kernels: Sequence[Kernel]) -> list[dict]:
    """Rows with the share of a step's time that the kernels of each kind take, then the LONGEST."""

    def row(of: str, name: str, chosen: Sequence[Kernel]) -> dict:
        return {
            "benchmark": f"{of} of {benchmark}",
            "variant": f"{name}: {sum(kernel.launches for kernel in chosen):.4g} a step",
            "share": sum(kernel.seconds for kernel in chosen) / step_seconds,
        }

    kinds = {kind: [kernel for kernel in kernels if kind_of(kernel.name) == kind] for kind in KINDS}
    longest = sorted(kernels, key=lambda kernel: kernel.seconds, reverse=True)[:LONGEST]
    return [
        *(row("kernels", kind, chosen) for kind, chosen in kinds.items() if chosen),
        row("kernels", "all", kernels),
        *(row("longest kernels", f"`{kernel.name[:120]}`", [kernel]) for kernel in longest),
    ]


def kind_of(kernel: str) -> str:
    """The kind of a kernel, a key of KINDS."""
    return next(kind for kind, names in KINDS.items() if re.search(names, kernel))
