"""The two convolutions that the networks are built from: stride 2, and its transpose.

They are PyTorch's operators, except on CPUs where multiplications limit the direct convolution:
there wide layers take Winograd's algorithm with 9 of 16 multiplications (`winograd.py`), and the
layer that makes the image is computed as a sub-pixel convolution.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.networks.winograd import to_nchw, to_nhwc, winograd_conv2d, winograd_conv_transpose2d

# PyTorch's operators are replaced on CPUs of this capability only, where the replacements were
# measured to be faster (`python -m benchmarks step`). AVX-512 has not been measured.
CPU_CAPABILITY = "AVX2"
_MIN_WINOGRAD_CHANNELS = 256  # of the smaller maps
_MIN_WINOGRAD_POSITIONS = 256  # N H W of the smaller maps
_MAX_SUBPIXEL_CHANNELS = 4  # of the larger maps


def strided_conv2d(x: Tensor, weight: Tensor) -> Tensor:
    """Convolution of stride 2 that halves even sides.

    x: [N, C, H, W], weight: [C', C, k, k] -> [N, C', H/2, W/2]
    """
    if _prefers_winograd(x, weight, x.shape[2:]):
        return winograd_conv2d(x, weight)
    return F.conv2d(x, weight, stride=2, padding=(weight.shape[-1] - 1) // 2)


def strided_conv_transpose2d(x: Tensor, weight: Tensor) -> Tensor:
    """The transpose of `strided_conv2d`, which doubles the sides.

    x: [N, C', H, W], weight: [C', C, k, k] -> [N, C, 2H, 2W]
    """
    if _prefers_winograd(x, weight, [2 * side for side in x.shape[2:]]):
        return winograd_conv_transpose2d(x, weight)
    if _prefers_subpixel(x, weight):
        return _subpixel_conv_transpose2d(x, weight)
    kernel_size = weight.shape[-1]
    return F.conv_transpose2d(
        x, weight, stride=2, padding=(kernel_size - 1) // 2, output_padding=kernel_size % 2
    )


def _prefers_winograd(x: Tensor, weight: Tensor, larger_sides: Sequence[int]) -> bool:
    """Whether Winograd's algorithm is faster; `larger_sides` are those of the larger maps."""
    height, width = larger_sides
    return (
        _is_measured(x, weight)
        and height % 4 == width % 4 == 0
        and weight.shape[0] >= _MIN_WINOGRAD_CHANNELS
        and len(x) * height * width >= 4 * _MIN_WINOGRAD_POSITIONS
    )


def _prefers_subpixel(x: Tensor, weight: Tensor) -> bool:
    """Whether the larger maps have so few channels that the sub-pixel convolution is faster."""
    return _is_measured(x, weight) and weight.shape[1] <= _MAX_SUBPIXEL_CHANNELS


def _is_measured(x: Tensor, weight: Tensor) -> bool:
    """Whether the replacements were measured for this CPU, data type and kernel."""
    return (
        not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and x.device.type == "cpu"
        and torch.backends.cpu.get_cpu_capability() == CPU_CAPABILITY
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and weight.shape[-1] == 4
    )


def _subpixel_conv_transpose2d(x: Tensor, weight: Tensor) -> Tensor:
    """`strided_conv_transpose2d` of 4 x 4 kernels as a convolution of stride 1 and a pixel shuffle
    (Shi et al. 2016, arXiv:1609.07009).

    In one dimension x[i] w[k] is added to y[2i - 1 + k]: the even and the odd outputs are each a
    convolution of x with two taps. The four parities of two dimensions are computed as one
    convolution with 4 C output channels, since C channels would leave vector registers half empty.
    """
    taps = weight.unflatten(3, (2, 2)).unflatten(2, (2, 2)).flip(2, 4)
    kernels = taps.permute(3, 5, 1, 0, 2, 4).flatten(0, 2)  # [4 C, C', 2, 2]
    maps = F.conv2d(x, to_channels_last(kernels), padding=1)
    pixels = to_nhwc(maps).unflatten(3, (2, 2, -1)).transpose(2, 3)  # [N, H + 1, 2, W + 1, 2, C]
    return to_nchw(pixels.flatten(3, 4).flatten(1, 2)[:, 1:-1, 1:-1])


def to_channels_last(x: Tensor) -> Tensor:
    """x, channels last in memory. vmap does not support `contiguous(memory_format=...)`."""
    return to_nchw(to_nhwc(x).contiguous())
