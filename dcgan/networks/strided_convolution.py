"""The two convolutions that the networks are built from: stride 2, and its transpose.

Each can be computed in several ways. Which one is fastest depends on the processor, on the data
type and on the shapes; `choose_way` has the rule, and `python -m benchmarks convolutions` times all
ways beside it (docs/speed.md has the measurements).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.networks.bilinear_convolution import (
    mixed_conv2d,
    mixed_conv_transpose2d,
    product_conv2d,
    product_conv_transpose2d,
)
from dcgan.networks.channels_last import to_channels_last, to_nchw, to_nhwc
from dcgan.networks.winograd import winograd_conv2d, winograd_conv_transpose2d

Way = Literal["torch", "mixed", "products", "winograd", "subpixel"]

# The data types for which the rule was measured, by what torch calls the capability of a CPU. All
# x86 CPUs that multiply bf16 matrices in hardware have AVX-512.
MEASURED_TYPES = {"AVX2": (torch.float32,), "AVX512": (torch.float32, torch.bfloat16)}
# Channels and positions (N H W) are those of the smaller maps, unless it says otherwise.
_MIN_PRODUCT_CHANNELS = 256
_MIN_WINOGRAD_CHANNELS = 256  # with fewer it is slower at some batch sizes
_MIN_WINOGRAD_NUMBERS = 2**17  # channels times positions: fewer do not make up for the transforms
_MAX_SUBPIXEL_CHANNELS = 4  # of the larger maps
_MAX_MIXED_POSITIONS = 2**16  # for so few channels; with more it is too slow
_torch_only: ContextVar[bool] = ContextVar("torch_only", default=False)


def strided_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolution of stride 2 that halves even sides.

    x: [N, C, H, W], weight: [C', C, k, k], bias: [C'] -> [N, C', H/2, W/2]
    """
    way = choose_way(x, weight)
    if way != "torch":
        x, weight = _in_autocast_dtype(x), _in_autocast_dtype(weight)
        bias = bias if bias is None else _in_autocast_dtype(bias)
    return CONVOLUTIONS[way](x, weight, bias)


def strided_conv_transpose2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The transpose of `strided_conv2d`, which doubles the sides.

    x: [N, C', H, W], weight: [C', C, k, k], bias: [C] -> [N, C, 2H, 2W]
    """
    way = choose_way(x, weight, transposed=True)
    if way != "torch":
        x, weight = _in_autocast_dtype(x), _in_autocast_dtype(weight)
        bias = bias if bias is None else _in_autocast_dtype(bias)
    return TRANSPOSES[way](x, weight, bias)


@contextmanager
def torch_convolutions() -> Iterator[None]:
    """In the block, all convolutions are computed by PyTorch's operators.

    Their graph says which they are, and zeros stay exact, which those of Winograd do not.
    """
    before = _torch_only.set(True)
    try:
        yield
    finally:
        _torch_only.reset(before)


def requires_torch_operators() -> bool:
    """Whether convolutions must be PyTorch's: in `torch_convolutions`, compiled and traced."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing() or _torch_only.get()


def choose_way(x: Tensor, weight: Tensor, transposed: bool = False) -> Way:
    """The fastest way to compute `strided_conv2d`, or its transpose, of these tensors.

    It follows from the processor, the data type and the shapes, so that results can be reproduced.
    """
    if requires_torch_operators():  # first, since torch.compile cannot trace all that follows
        return "torch"
    dtype, sides = _autocast_dtype(x), x.shape[2:]
    if (
        x.device.type != "cpu"
        or dtype not in MEASURED_TYPES.get(torch.backends.cpu.get_cpu_capability(), ())
        or dtype != _autocast_dtype(weight)
        or weight.shape[-1] != 4
        or (not transposed and any(side % 2 for side in sides))  # in D, of images of other sizes
    ):
        return "torch"
    channels, larger_channels = weight.shape[:2]
    few_channels = larger_channels <= _MAX_SUBPIXEL_CHANNELS
    height, width = sides if transposed else [side // 2 for side in sides]
    positions = len(x) * height * width
    if dtype == torch.bfloat16:
        if channels >= _MIN_PRODUCT_CHANNELS:
            return "products"
        return "torch" if few_channels and positions > _MAX_MIXED_POSITIONS else "mixed"
    if few_channels:
        return "subpixel" if transposed else "torch"
    if (
        height % 2 == width % 2 == 0  # tiles of 2 x 2
        and channels >= _MIN_WINOGRAD_CHANNELS
        and channels * positions >= _MIN_WINOGRAD_NUMBERS
    ):
        return "winograd"
    return "torch"


def _autocast_dtype(x: Tensor) -> torch.dtype:
    """The data type that convolutions of x on the CPU are computed in."""
    casts = torch.is_autocast_enabled("cpu") and x.dtype != torch.float64  # as PyTorch's own do
    return torch.get_autocast_dtype("cpu") if casts else x.dtype


def _in_autocast_dtype(x: Tensor) -> Tensor:
    return x.to(_autocast_dtype(x))


def padding_of(kernel_size: int) -> int:
    """Zeros before the larger maps of both convolutions."""
    return (kernel_size - 1) // 2


def _torch_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv2d(x, weight, bias, stride=2, padding=padding_of(weight.shape[-1]))


def _torch_conv_transpose2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    side = weight.shape[-1]
    sides = {"padding": padding_of(side), "output_padding": side % 2}
    return F.conv_transpose2d(x, weight, bias, stride=2, **sides)


def _subpixel_conv_transpose2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`strided_conv_transpose2d` of 4 x 4 kernels as a convolution of stride 1 and a pixel shuffle
    (Shi et al. 2016, arXiv:1609.07009).

    In one dimension x[i] w[k] is added to y[2i - 1 + k]: the even and the odd outputs are each a
    convolution of x with two taps. The four parities of two dimensions are computed as one
    convolution with 4 C output channels, since C channels would leave vector registers half empty.
    """
    taps = weight.unflatten(3, (2, 2)).unflatten(2, (2, 2)).flip(2, 4)
    kernels = taps.permute(3, 5, 1, 0, 2, 4).flatten(0, 2)  # [4 C, C', 2, 2]
    biases = bias if bias is None else bias.repeat(4)
    maps = F.conv2d(x, to_channels_last(kernels), biases, padding=1)
    pixels = to_nhwc(maps).unflatten(3, (2, 2, -1)).transpose(2, 3)  # [N, H + 1, 2, W + 1, 2, C]
    return to_nchw(pixels.flatten(3, 4).flatten(1, 2)[:, 1:-1, 1:-1])


CONVOLUTIONS: dict[Way, Callable[..., Tensor]] = {
    "torch": _torch_conv2d,
    "mixed": mixed_conv2d,
    "products": product_conv2d,
    "winograd": winograd_conv2d,
}
TRANSPOSES: dict[Way, Callable[..., Tensor]] = {
    "torch": _torch_conv_transpose2d,
    "mixed": mixed_conv_transpose2d,
    "products": product_conv_transpose2d,
    "winograd": winograd_conv_transpose2d,
    "subpixel": _subpixel_conv_transpose2d,
}
