"""The generator as it is sampled: batch norm inside the kernels."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from dcgan.networks.models import Generator


class Shift(nn.Module):
    """Adds one number a channel, in place: what a folded batch norm leaves to do."""

    def __init__(self, shift: Tensor):
        super().__init__()
        self.register_buffer("shift", shift[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return x.add_(self.shift)


@torch.no_grad()
def folded(G: Generator) -> Generator:
    """A copy of G that gives the images of its evaluation mode with half the passes over memory.

    There batch norm multiplies a channel by one number and adds another. The convolution before it
    is linear, so its kernel takes in the factor, and a `Shift` adds the rest. G stays as it is.
    """
    copied = copy.deepcopy(G).requires_grad_(False).eval()
    layers = copied.layers
    for i, norm in enumerate(layers):
        if isinstance(norm, nn.BatchNorm2d):
            mean, variance = norm.running_mean, norm.running_var
            layers[i - 1].weight, shift = fuse_conv_bn_weights(
                layers[i - 1].weight, None, mean, variance, norm.eps, norm.weight, norm.bias, True
            )
            layers[i] = Shift(shift)
    return copied.to(memory_format=torch.channels_last)
