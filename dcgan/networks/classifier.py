"""A classifier of images with the convolutional body of the discriminator."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan.config import validate_network
from dcgan.networks.initialization import he_initialize
from dcgan.networks.layers import BASE_SIZE, LEAKY_SLOPE, StridedConv2d, feature_channels

MAX_CLASSIFIED_SIZE = 64  # of the images that the body sees: labels need no finer detail
_WIDTH = 16
_KERNEL_SIZE = 4


class Classifier(nn.Module):
    """Images to numbers, one for each label or value: logits of labels, estimates of values.

    x: [N, channels, S, S] in [-1, 1], with S a multiple of `size` -> [N, outputs]. Larger images
    are averaged over squares first. Strided convolutions with batch norm and leaky ReLUs lead to
    maps of 4x4, as in the discriminator of Radford et al. 2015, and a linear layer reads them.
    """

    def __init__(self, size: int, channels: int, outputs: int, width: int = _WIDTH):
        super().__init__()
        validate_network(size=size, channels=channels, width=width, kernel_size=_KERNEL_SIZE)
        self.size, self.channels, self.width = size, channels, width
        layers: list[nn.Module] = []
        in_channels = channels
        for out_channels in reversed(feature_channels(size, width)):
            layers += [
                StridedConv2d(in_channels, out_channels, _KERNEL_SIZE),
                nn.BatchNorm2d(out_channels),
                nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
            ]
            in_channels = out_channels
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(in_channels * BASE_SIZE**2, outputs)
        he_initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.size:
            x = F.avg_pool2d(x, x.shape[-1] // self.size)
        return self.head(self.body(x.contiguous(memory_format=torch.channels_last)).flatten(1))
