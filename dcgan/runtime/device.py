"""Which device to compute on, in which precision, and with which settings of torch."""

import ctypes
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from dcgan.errors import UsageError, UserError
from dcgan.runtime.openmp import limit_spinning_of_loaded_torch

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def select_device(name: str) -> torch.device:
    """The device called `name`; "auto" selects CUDA, then MPS, then the CPU.

    Raises UserError where this machine has no such device, UsageError for other names.
    """
    available: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if name == "auto":
        name = next(kind for kind, is_available in available.items() if is_available())
    if name not in available:
        raise UsageError(f"--device must be one of auto, {', '.join(available)}, not {name}")
    if not available[name]():
        raise UserError(f"--device {name}: this machine has no {name} device that torch can use")
    return torch.device(name)


def thread_initializer(device: torch.device) -> Callable[[], None]:
    """What a new thread must call before it pins memory or waits for events of a device.

    CUDA's current device belongs to a thread, and is GPU 0 in a new one: every process would make
    a context there, of some hundred megabytes, whichever GPU it computes on.
    """
    if device.type != "cuda":
        return lambda: None
    index = torch.cuda.current_device() if device.index is None else device.index
    return partial(torch.cuda.set_device, index)


def use_bf16(device: torch.device, precision: str) -> bool:
    """Whether forward passes run in bf16; precision "auto" does where the hardware supports it.

    Raises UsageError for a precision other than "auto", "fp32" and "bf16".
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise UsageError(f"--precision must be one of auto, fp32, bf16, not {precision}")
    return precision == "bf16" or (precision == "auto" and has_native_bf16(device))


def has_native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 matrices in hardware, without emulation."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


@contextmanager
def full_float32_precision() -> Iterator[None]:
    """Compute float32 products and convolutions in float32 in the block, on every device.

    Elsewhere torch may round their inputs to TF32's 11 bits or to bf16's 8, as `configure_torch`
    allows for training and as torch does in convolutions by default.
    """
    backends: Any = torch.backends  # mypy does not see how their modules are replaced by objects
    operations = (
        *(backends.mkldnn.matmul, backends.mkldnn.conv),
        *(backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn),
    )
    before = [operation.fp32_precision for operation in operations]
    # The older switches have to say the same: torch refuses to compute where they differ.
    torch.set_float32_matmul_precision("highest")
    backends.cudnn.allow_tf32 = False
    for operation in operations:
        operation.fp32_precision = "ieee"
    try:
        yield
    finally:
        cpu_matmul, _, gpu_matmul, gpu_conv, _ = before
        older = {"tf32": "high", "bf16": "medium"}
        torch.set_float32_matmul_precision(older.get(cpu_matmul, older.get(gpu_matmul, "highest")))
        backends.cudnn.allow_tf32 = gpu_conv == "tf32"
        for operation, precision in zip(operations, before, strict=True):
            operation.fp32_precision = precision


def configure_torch(threads: int | None = None) -> None:
    """Set up torch for tensors of fixed shapes, and allow TF32 in fp32 matrix products.

    `threads` is the number of CPU threads; None leaves it to torch, which takes one per core.
    """
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    reuse_freed_memory()
    limit_spinning_of_loaded_torch()


def reuse_freed_memory() -> None:
    """Make glibc's malloc keep freed memory for later allocations.

    By default it maps every large tensor anew and unmaps it when it is freed, and the kernel clears
    each page again. The tensors of a training step have the sizes of those of the step before.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
