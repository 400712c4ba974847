"""TF32 on any device: what a GPU's tensor cores make of float32 products where torch allows it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, backends
from torch.utils._python_dispatch import TorchDispatchMode

_PRODUCTS = {"mm", "addmm", "addmm_", "bmm", "baddbmm"}
_CONVOLUTIONS = {"convolution", "convolution_backward"}


class TensorFloat32(TorchDispatchMode):
    """Round the float32 inputs of products and of convolutions to 11 bits, where torch allows it
    on an NVIDIA GPU.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if (name in _PRODUCTS and backends.cuda.matmul.fp32_precision == "tf32") or (
            name in _CONVOLUTIONS and backends.cudnn.conv.fp32_precision == "tf32"
        ):
            args = tuple(map(_rounded, args))
        return func(*args, **(kwargs or {}))


@contextmanager
def restored_precision() -> Iterator[None]:
    """Set torch's switches for TF32 back to what they were before the block."""
    before = torch.get_float32_matmul_precision(), backends.cudnn.allow_tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        backends.cudnn.allow_tf32 = before[1]


@contextmanager
def as_in_training() -> Iterator[None]:
    """In the block, compute as in a process that trains on a GPU with TF32."""
    with restored_precision(), TensorFloat32():
        torch.set_float32_matmul_precision("high")
        backends.cudnn.allow_tf32 = True
        yield


def _rounded(value: object) -> object:
    """A float32 tensor to 10 bits after the first; anything else as it is."""
    if not isinstance(value, Tensor) or value.dtype != torch.float32:
        return value
    mantissa, exponent = value.frexp()
    return (mantissa * 2**11).round().div(2**11).ldexp(exponent)
