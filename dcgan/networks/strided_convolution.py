"""The two convolutions that the networks are built of: stride 2 down, and its transpose up.

They are PyTorch's operators, except where the processor's direct convolution is bound by its
multiplications: there wide layers do with 9 of 16 of them (`winograd.py`), and the layer that makes
the image has another shape.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.networks.winograd import nchw, nhwc, winograd_down, winograd_up

# Where fewer products repay the additions (`python -m benchmarks step`). Wider vectors were
# not at hand to measure.
CAPABILITY = "AVX2"
WIDE = 256  # channels at the small side
NARROW = 4  # channels at the large side
MANY = 256  # positions at the small side, over the batch


def downsample(x: Tensor, weight: Tensor) -> Tensor:
    """Stride-2 convolution that halves even sides.

    x: [N, C, H, W], weight: [C', C, k, k] -> [N, C', H/2, W/2]
    """
    if saves_products(x, weight, x.shape[2:]):
        return winograd_down(x, weight)
    return F.conv2d(x, weight, stride=2, padding=(weight.shape[-1] - 1) // 2)


def upsample(x: Tensor, weight: Tensor) -> Tensor:
    """Its transpose, which doubles the sides.

    x: [N, C', H, W], weight: [C', C, k, k] -> [N, C, 2H, 2W]
    """
    if saves_products(x, weight, [2 * side for side in x.shape[2:]]):
        return winograd_up(x, weight)
    if is_narrow(x, weight):
        return narrow_up(x, weight)
    kernel = weight.shape[-1]
    return F.conv_transpose2d(
        x, weight, stride=2, padding=(kernel - 1) // 2, output_padding=kernel % 2
    )


def saves_products(x: Tensor, weight: Tensor, sides: list[int]) -> bool:
    """Whether Winograd's products are the faster way; `sides` are those of the larger maps."""
    height, width = sides
    return (
        is_known(x, weight)
        and height % 4 == width % 4 == 0
        and weight.shape[0] >= WIDE
        and len(x) * height * width >= 4 * MANY
    )


def is_narrow(x: Tensor, weight: Tensor) -> bool:
    """Whether the large side has so few channels that `narrow_up` is the faster way."""
    return is_known(x, weight) and weight.shape[1] <= NARROW


def is_known(x: Tensor, weight: Tensor) -> bool:
    """Whether the processor, the arithmetic and the kernel are those that were measured."""
    return (
        not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and x.device.type == "cpu"
        and torch.backends.cpu.get_cpu_capability() == CAPABILITY
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and weight.shape[-1] == 4
    )


def narrow_up(x: Tensor, weight: Tensor) -> Tensor:
    """`upsample` of 4 x 4 kernels as a convolution of stride 1 (Shi et al. 2016, arXiv:1609.07009).

    In one dimension y[2i - 1 + k] gets x[i] w[k]: the outputs of either parity are x convolved with
    two taps. All parities together are a convolution with four times the channels, and vectors
    that C channels alone would leave half empty are filled.
    """
    taps = weight.unflatten(3, (2, 2)).unflatten(2, (2, 2)).flip(2, 4)
    kernels = taps.permute(3, 5, 1, 0, 2, 4).flatten(0, 2)  # [4 C, C', 2, 2]
    maps = F.conv2d(x, channels_last(kernels), padding=1)
    pixels = nhwc(maps).unflatten(3, (2, 2, -1)).transpose(2, 3)  # [N, H + 1, 2, W + 1, 2, C]
    return nchw(pixels.flatten(3, 4).flatten(1, 2)[:, 1:-1, 1:-1])


def channels_last(x: Tensor) -> Tensor:
    """x in that order in memory. (torch's own way to say so is none that vmap knows.)"""
    return nchw(nhwc(x).contiguous())
