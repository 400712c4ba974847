"""Time of a training step on images in memory, with each optimisation added in turn.

The step is that of PyTorch's DCGAN example (Radford et al. 2015); the default recipe, which adds
gradient penalties and more, is timed beside it. Large matrix products are timed in the same rounds
as a measure of peak speed.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack

import torch

from benchmarks.harness import Variant, time_in_processes
from dcgan.config import PRESETS

_for_ever = ExitStack()
SIDE = 2048  # of the matrices, in elements
# The recipe of PyTorch's example, so that both do the same work.
EXAMPLE = {
    name: getattr(PRESETS["paper"], name)
    for name in (
        *("loss", "r1", "r2", "batch_norm_D", "bias_D", "augment_p", "smooth"),
        *("lr_G", "lr_D", "beta1", "clip"),
    )
}


def start_example_step(width: int, batch_size: int, device: str = "cpu") -> Callable[[], int]:
    """Training steps of PyTorch's example."""
    from benchmarks.pytorch_example import ExampleTrainer

    trainer = ExampleTrainer(width, device)
    real = torch.rand(batch_size, 3, 64, 64, device=device) * 2 - 1

    def step() -> int:
        trainer.update(real)
        return batch_size

    return step


def start_dcgan_step(
    width: int,
    batch_size: int,
    precision: str = "auto",
    winograd: bool = True,
    malloc: bool = True,
    recipe: Mapping = EXAMPLE,
    device: str = "cpu",
    share_cpus: bool = True,
) -> Callable[[], int]:
    """Training steps of dcgan, with all optimisations or without some.

    `recipe` holds options of training that differ from the defaults. `share_cpus` is for the rest
    of the process.
    """
    from dcgan.config import TrainConfig
    from dcgan.networks import strided_convolution
    from dcgan.runtime.cpu_sharing import sharing_cpus
    from dcgan.runtime.device import reuse_freed_memory
    from dcgan.training.augmentation import NOISE_DIM
    from dcgan.training.batches import Batch
    from dcgan.training.trainer import Trainer

    if not winograd:
        strided_convolution.MEASURED_TYPES.clear()
    if malloc:
        reuse_freed_memory()
    if share_cpus:
        _for_ever.enter_context(sharing_cpus())
    config = TrainConfig(width=width, batch_size=batch_size, precision=precision, **recipe)
    trainer = Trainer(config, torch.device(device))
    real = (torch.rand(batch_size, 3, 64, 64) * 2 - 1).contiguous(memory_format=torch.channels_last)
    batch = Batch(
        real,
        labels=torch.empty(batch_size, 0),
        z=torch.randn(batch_size, config.latent_dim),
        augmentation_noise=torch.rand(batch_size, 3, NOISE_DIM),
        alpha=torch.rand(batch_size),
    )
    batch = Batch._make(tensor.to(device) for tensor in batch)

    def step() -> int:
        trainer.update(batch)
        return batch_size

    return step


def repeat_work(times: int, start: Callable[..., Callable[[], int]], *args) -> Callable[[], int]:
    """Do the work that `start(*args)` returns `times` times per call."""
    work = start(*args)
    return lambda: sum(work() for _ in range(times))


def _start_matrix_product(dtype: torch.dtype) -> Callable[[], int]:
    """Products of large matrices; an item is one floating-point operation."""
    a, b = torch.randn(SIDE, SIDE, dtype=dtype), torch.randn(SIDE, SIDE, dtype=dtype)

    def multiply() -> int:
        for _ in range(5):
            a @ b
        return 5 * 2 * SIDE**3

    return multiply


def _count_operations(width: int) -> int:
    """Floating-point operations per image of the convolutions in a step."""
    from torch.utils.flop_counter import FlopCounterMode

    from dcgan.config import TrainConfig
    from dcgan.networks import build_networks

    config = TrainConfig(width=width)
    with torch.device("meta"):
        G, D = build_networks(config)
        z, real = torch.empty(2, config.latent_dim), torch.empty(2, 3, 64, 64)
    with FlopCounterMode(display=False) as counter:
        fake = G(z)
        (D(real).sum() + D(fake.detach()).sum()).backward()
        D.requires_grad_(False)
        D(fake).sum().backward()
    return counter.get_total_flops() // 2


def run(rounds: int, width: int = 64, batch_size: int = 128) -> list[dict]:
    from dcgan.config import TrainConfig
    from dcgan.runtime.device import has_native_bf16

    sizes = (width, batch_size)
    variants = [
        Variant("in the order of PyTorch's example", start_example_step, sizes),
        Variant(
            "dcgan fp32: channels last, frozen D, fused Adam",
            start_dcgan_step,
            (*sizes, "fp32", False, False),
        ),
        Variant(
            "+ freed memory is kept",
            start_dcgan_step,
            (*sizes, "fp32", False, True),
        ),
        Variant("+ Winograd, where it pays", start_dcgan_step, (*sizes, "fp32")),
    ]
    products = [Variant("fp32", _start_matrix_product, (torch.float32,))]
    if has_native_bf16(torch.device("cpu")):
        variants += [Variant("dcgan bf16", start_dcgan_step, (*sizes, "bf16"))]
        products += [Variant("bf16", _start_matrix_product, (torch.bfloat16,))]
    # One interval of the lazy penalties.
    default = (TrainConfig.penalty_every, start_dcgan_step, *sizes, "auto", True, True, {})
    default = Variant("dcgan, the default recipe", repeat_work, default)
    timings = time_in_processes([*variants, *products, default], rounds)
    steps, products = timings[: len(variants)], timings[len(variants) : -1]
    work = _count_operations(width)
    benchmark = f"step, width {width}, batch {batch_size}"
    return [
        step.row(
            benchmark,
            **{f"of_{p.name}_matrix_product": work * p.median / step.median for p in products},
        )
        for step in steps
    ] + [timings[-1].row(benchmark)]
