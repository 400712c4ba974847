"""Which device to compute on, and in which arithmetic."""

import ctypes
import platform

import torch

from dcgan.errors import UserError


def select_device(name: str) -> torch.device:
    """The device of a name; "auto" is the fastest there is. UserError where it is missing."""
    available = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if name == "auto":
        name = next(kind for kind, is_there in available.items() if is_there())
    if not available[name]():
        raise UserError(f"--device {name}: this machine has no {name} device that torch can use")
    return torch.device(name)


def use_bf16(device: torch.device, precision: str) -> bool:
    """Whether the forward passes run in bf16: `precision` says so, or "auto" finds it pays."""
    return precision == "bf16" or (precision == "auto" and has_native_bf16(device))


def has_native_bf16(device: torch.device) -> bool:
    """Whether the processor multiplies bf16 matrices itself, rather than by emulation."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def configure_torch(threads: int | None = None) -> None:
    """Settings of torch for fixed shapes and single precision that does not need every digit.

    `threads` compute on the CPU; None leaves torch its choice, one per core.
    """
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    reuse_freed_memory()


def reuse_freed_memory() -> None:
    """Have glibc keep what is freed, for the next step to use.

    By default every large tensor is mapped when it is made and unmapped when it dies, and each of
    its pages is zeroed by the kernel again. A step makes the same tensors as the one before.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
