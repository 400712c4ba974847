"""The blocks of the toolkit's discriminator as a backbone."""

import copy
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from dcgan.deconv.fcn.backbones import Backbone
from dcgan.networks import Discriminator, StridedConv2d
from dcgan.sizes import Conv, receptive_field


class DiscriminatorBackbone(Backbone):
    """The activations of every block of D (Radford et al. 2015): strides 2, 4, ..., size / 4.

    x: [N, channels, H, W] in [-1, 1], of any height and width. A block halves a side and rounds up:
    an odd one gets a row of zeros after its last, as the convolution pads its input.

    It has a copy of D's blocks, trainable until `freeze`. A new `Discriminator` gives random ones.
    """

    def __init__(self, D: Discriminator):
        axes: list[Conv] = []
        fields, channels = [], []
        for block in D.blocks:
            layer = _convolution_of(block)
            axes.append(layer.axis)
            fields.append(receptive_field(axes))
            channels.append(layer.weight.shape[0])
        super().__init__([_convolution_of(D.blocks[0]).weight.shape[1]], channels, fields)
        self.blocks = copy.deepcopy(D.blocks).requires_grad_(True).train()

    def map_sides(self, side: int) -> list[int]:
        return [-(-side // int(field.stride)) for field in self.fields]

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for block in self.blocks:
            height, width = x.shape[2:]
            if height % 2 or width % 2:
                x = F.pad(x, (0, width % 2, 0, height % 2))
            x = block(x)
            maps.append(x)
        return maps


def _convolution_of(block: nn.Module) -> StridedConv2d:
    return cast(StridedConv2d, cast(nn.Sequential, block)[0])
