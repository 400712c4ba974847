"""Batch norm of a generator that is sampled: its statistics, and its place inside the kernels."""

import copy
from collections.abc import Iterable

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


@torch.no_grad()
def recalibrate(G: nn.Module, latents: Iterable[Tensor]) -> None:
    """Give batch norm the plain means of its statistics over some batches of latents.

    Running ones are of weights that G had before, and of none that an average of G has; these are
    of the weights as they are (standing statistics: Brock et al. 2019, section 4.1). The batches
    count alike, so they should be of one size. The mode of G stays as it was.
    """
    norms = [module for module in G.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta, training = [norm.momentum for norm in norms], G.training
    for norm in norms:
        norm.reset_running_stats()
    G.train()
    for before, z in enumerate(latents):
        for norm in norms:
            norm.momentum = 1 / (before + 1)  # None would do, but asks the device for its counter
        G(z)
    G.train(training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
