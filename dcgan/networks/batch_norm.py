"""Batch norm of a generator that is sampled, folded into the convolutions before it."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from dcgan.networks.generator import Generator
from dcgan.networks.layers import LatentProjection, StridedConvTranspose2d


class _ChannelBias(nn.Module):
    """Adds a number to each channel, in place: [N, C, H, W] -> [N, C, H, W]."""

    bias: Tensor

    def __init__(self, bias: Tensor):
        super().__init__()
        self.register_buffer("bias", bias[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return x.add_(self.bias)


@torch.no_grad()
def fold_batch_norm(G: Generator) -> Generator:
    """A copy of G in evaluation mode, with half the passes over memory. G stays as it is.

    In evaluation mode batch norm multiplies each channel by a number and adds another. The kernel
    of the convolution before it takes in the factor, and a `_ChannelBias` adds the rest.
    """
    copied = copy.deepcopy(G).requires_grad_(False).eval()
    layers = copied.layers
    for i, norm in enumerate(layers):
        if isinstance(norm, nn.BatchNorm2d):
            convolution, mean, variance = layers[i - 1], norm.running_mean, norm.running_var
            assert isinstance(convolution, LatentProjection | StridedConvTranspose2d)
            assert mean is not None and variance is not None
            convolution.weight, bias = fuse_conv_bn_weights(
                convolution.weight, None, mean, variance, norm.eps, norm.weight, norm.bias, True
            )
            layers[i] = _ChannelBias(bias)
    return copied.to(memory_format=torch.channels_last)
