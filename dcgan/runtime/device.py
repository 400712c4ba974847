"""Which device to compute on, in which precision, and with which settings of torch."""

import ctypes
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from dcgan.errors import UsageError, UserError
from dcgan.runtime.terminal import print_lines
from dcgan.runtime.threads import once_for_all_threads

# The devices that "auto" prefers to the CPU, in this order.
_AVAILABLE: dict[str, Callable[[], bool]] = {
    "cuda": lambda: torch.cuda.is_available(),
    "mps": lambda: torch.backends.mps.is_available(),
}
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h
_MADV_HUGEPAGE = 14  # sys/mman.h of Linux
_HUGE_PAGE = 2**21  # bytes
_HUGE_HEAP = 2**31  # bytes: a step of 128 images at width 64 takes half as many


def select_device(device: torch.device | str) -> torch.device:
    """The device of this name: "cpu", "mps", "cuda" or "cuda:N"; "auto" selects CUDA, then MPS,
    then the CPU, and says on stderr why it passes over a GPU.

    Raises UserError where torch cannot compute on the device, UsageError for other names.
    """
    name = str(device)
    if isinstance(device, torch.device) and device.type in ("cpu", "mps"):
        name = device.type  # there is one of each
    if not re.fullmatch(r"auto|cuda(:\d{1,3})?|mps|cpu", name):
        raise UsageError(f"--device must be auto, cuda, cuda:N, mps or cpu, not {name}")
    if name != "auto":
        if reason := _why_unusable(torch.device(name)):
            raise UserError(f"--device {name}: {reason}")
        return torch.device(name)
    for kind, is_available in _AVAILABLE.items():
        if is_available():
            if not (reason := _why_unusable(torch.device(kind))):
                return torch.device(kind)
            print_lines(f"computing without {kind}: {reason}", file=sys.stderr)
    return torch.device("cpu")


def _why_unusable(device: torch.device) -> str | None:
    """Why torch cannot compute on a device; None if it can."""
    if device.type == "cpu":
        return None
    if not _AVAILABLE[device.type]():
        return f"this machine has no {device.type} device that torch can use"
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if device.index is not None and device.index >= count:
            return f"the last GPU of this machine is cuda:{count - 1}"
        if device.index is None:  # under torchrun, do not start CUDA on the GPUs of others
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % count)
    try:
        _run_kernel(device)
    except RuntimeError as error:
        return str(error).strip().splitlines()[0]
    return None


def _run_kernel(device: torch.device) -> None:
    """Compute something: a torch without kernels for a GPU says so only when one is launched."""
    torch.ones(1, device=device).add(1).item()


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


def describe_computation(device: torch.device, precision: str) -> dict[str, str]:
    """What forward passes are computed in, for records: precision, device and version of torch.

    `precision` is resolved as by `use_bf16`.
    """
    return {
        "precision": "bf16" if use_bf16(device, precision) else "fp32",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "torch": torch.__version__,
    }


def has_native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 matrices in hardware, without emulation."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return not {"avx512_bf16", "amx_tile"}.isdisjoint(_cpu_features())
    return False


def _cpu_features() -> set[str]:
    """The instruction sets of this CPU, by the names that torch and Linux share."""
    if hasattr(torch.cpu, "get_capabilities"):  # torch 2.10 has none
        return {name for name, value in torch.cpu.get_capabilities().items() if value is True}
    try:
        return set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return set()


@once_for_all_threads
@contextmanager
def full_float32_precision() -> Iterator[None]:
    """Compute float32 products and convolutions in float32 in the block, on every device.

    Elsewhere torch may round their inputs to TF32's 11 bits or to bf16's 8, as `configure_torch`
    allows for training and as torch does in convolutions by default.
    """
    with _restored_precision():
        _set_precision("highest", False, ["ieee"] * len(_float32_operations()))
        yield


@contextmanager
def _restored_precision() -> Iterator[None]:
    """Undo in the end what the block changes in the precision of float32 operations."""
    before = [operation.fp32_precision for operation in _float32_operations()]
    try:
        yield
    finally:
        cpu_matmul, _, gpu_matmul, gpu_conv, _ = before
        # They cannot be read where a script has set only the newer ones.
        older = "highest"
        if gpu_matmul == "tf32":
            older = "medium" if cpu_matmul == "bf16" else "high"
        _set_precision(older, gpu_conv == "tf32", before)


def _float32_operations() -> tuple[Any, ...]:
    """What torch has a precision of float32 for: products and convolutions on CPUs and GPUs."""
    backends: Any = torch.backends  # mypy does not see how their modules are replaced by objects
    return (
        *(backends.mkldnn.matmul, backends.mkldnn.conv),
        *(backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn),
    )


def _set_precision(matmul: str, conv_tf32: bool, precisions: Sequence[str]) -> None:
    """Set the precision of each operation, and torch's older switches `matmul` and `conv_tf32` to
    the same: torch refuses to compute where they differ.
    """
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = conv_tf32
    for operation, precision in zip(_float32_operations(), precisions, strict=True):
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


@contextmanager
def restored_settings() -> Iterator[None]:
    """Undo in the end what `configure_torch` sets in the block: a script may go on with torch."""
    threads = torch.get_num_threads()  # of this thread: others have numbers of their own
    try:
        with _restored_backends():
            yield
    finally:
        torch.set_num_threads(threads)


@once_for_all_threads
@contextmanager
def _restored_backends() -> Iterator[None]:
    benchmark = torch.backends.cudnn.benchmark
    try:
        with _restored_precision():
            yield
    finally:
        torch.backends.cudnn.benchmark = benchmark


@cache
def reuse_freed_memory() -> None:
    """Make glibc's malloc keep freed memory for later allocations.

    By default it maps every large tensor anew and unmaps it when it is freed, and the kernel clears
    each page again. The tensors of a training step have the sizes of those of the step before.

    Where Linux has huge pages for those who ask, the first memory from then on gets them: a
    processor finds few small pages without a search in memory.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)  # never
        _extend_heap_by_huge_pages(libc)


def _extend_heap_by_huge_pages(libc: ctypes.CDLL) -> None:
    """Extend malloc's heap by addresses that take no memory until they are written to."""
    libc.malloc.restype = ctypes.c_void_p
    block = libc.malloc(ctypes.c_size_t(_HUGE_HEAP))
    if block:  # else the process may not have so many addresses
        start = -(-block // _HUGE_PAGE) * _HUGE_PAGE
        length = ctypes.c_size_t(_HUGE_HEAP - _HUGE_PAGE)
        libc.madvise(ctypes.c_void_p(start), length, _MADV_HUGEPAGE)
        libc.free(ctypes.c_void_p(block))  # malloc keeps it
