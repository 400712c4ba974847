"""The layers that the networks are built from, apart from those of PyTorch."""

import math

import torch
from torch import Tensor, nn

from dcgan.networks.channels_last import to_nchw, to_nhwc
from dcgan.networks.strided_convolution import (
    padding_of,
    requires_torch_operators,
    strided_conv2d,
    strided_conv_transpose2d,
)
from dcgan.sizes import Conv, ConvTranspose

BASE_SIZE = 4  # side of the smallest feature maps
LEAKY_SLOPE = 0.2  # of the leaky ReLUs (Radford et al. 2015, section 4)
_MAX_WIDTH_FACTOR = 8  # the widest layer has at most this many times `width` channels
_GROUP_SIZE = 4  # images in a group of `MinibatchStdLayer`


class StridedConv2d(nn.Module):
    """Convolution of stride 2 that halves even sides: [N, C, H, W] -> [N, C', H/2, W/2]."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, bias: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    @property
    def axis(self) -> Conv:
        """Its sizes along an axis."""
        kernel_size = self.weight.shape[-1]
        return Conv(kernel_size, 2, padding_of(kernel_size))

    def forward(self, x: Tensor) -> Tensor:
        return strided_conv2d(x, self.weight, self.bias)


class StridedConvTranspose2d(nn.Module):
    """Transposed convolution of stride 2: [N, C, H, W] -> [N, C', 2H, 2W].

    It has no bias, unless one is set.
    """

    bias: nn.Parameter | None

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels, kernel_size, kernel_size))
        self.register_parameter("bias", None)

    @property
    def axis(self) -> ConvTranspose:
        """Its sizes along an axis: the transpose of the convolution that halves an even size."""
        kernel_size = self.weight.shape[-1]
        return Conv(kernel_size, 2, padding_of(kernel_size)).transpose(2 * BASE_SIZE)

    def forward(self, x: Tensor) -> Tensor:
        return strided_conv_transpose2d(x, self.weight, self.bias)


class LatentProjection(nn.ConvTranspose2d):
    """Projects latents [N, latent_dim, h, w] to the smallest maps, [N, C', h + k - 1, w + k - 1].

    For one latent per image (h = w = 1) the transposed convolution is a matrix product, which is
    several times as fast as PyTorch's convolution.
    """

    @property
    def axis(self) -> ConvTranspose:
        """Its sizes along an axis."""
        return ConvTranspose(self.kernel_size[0])

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if input.shape[2:] != (1, 1):
            return super().forward(input, output_size)
        rows, matrix = input.flatten(1), to_nhwc(self.weight).flatten(1)
        if self.bias is None:
            maps = rows @ matrix
        else:
            maps = torch.addmm(self.bias.repeat(math.prod(self.kernel_size)), rows, matrix)
        return to_nchw(maps.unflatten(1, (*self.kernel_size, -1)))


class WindowScore(nn.Conv2d):
    """Scores windows of maps by inner products: [N, C, H, W] -> [N, 1, H - k + 1, W - k + 1].

    For maps of one window (H = W = k) the convolution is a matrix product, whose gradients are
    several times as fast as those of PyTorch's convolution.
    """

    def __init__(self, channels: int, kernel_size: int):
        super().__init__(channels, 1, kernel_size, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if requires_torch_operators() or input.shape[2:] != self.kernel_size:
            return super().forward(input)
        scores = to_nhwc(input).flatten(1) @ to_nhwc(self.weight).flatten(1).mT
        return scores[:, :, None, None]


class MinibatchStdLayer(nn.Module):
    """Appends a map with the mean standard deviation of the features over a group of images, so
    that D can detect mode collapse (Karras et al. 2018, section 3).

    [N, C, H, W] -> [N, C + 1, H, W]. Images i, i + N/4, i + 2N/4 and i + 3N/4 form a group; all N
    images form one where N is not divisible by 4.
    """

    def forward(self, x: Tensor) -> Tensor:
        group_size = _GROUP_SIZE if len(x) % _GROUP_SIZE == 0 else len(x)
        groups = x.unflatten(0, (group_size, -1))
        std = (groups.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        maps = std.repeat(group_size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
        return torch.cat([x, maps], 1)


def feature_channels(size: int, width: int) -> list[int]:
    """Channels of the feature maps of side 4, 8, ..., size/2, for example 512, 256, 128, 64."""
    depth = int(size).bit_length() - BASE_SIZE.bit_length()
    return [width * min(_MAX_WIDTH_FACTOR, 2**i) for i in reversed(range(depth))]
