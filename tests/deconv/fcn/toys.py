"""Small backbones whose maps can be computed by hand."""

import torch
import torch.nn.functional as F
from hypothesis import strategies as st

from dcgan.deconv.fcn import Backbone, DiscriminatorBackbone
from dcgan.networks import Discriminator
from dcgan.sizes import Conv, output_sizes, receptive_field


class Means(Backbone):
    """Maps of one channel: means over the windows of convolutions on top of one another."""

    def __init__(self, layers: list[Conv]):
        ends = range(1, len(layers) + 1)
        super().__init__([1], [1] * len(layers), [receptive_field(layers[:end]) for end in ends])
        self.layers = layers

    def map_sides(self, side):
        return output_sizes(self.layers, side)

    def forward(self, x):
        maps = []
        for layer in self.layers:
            kernel = x.new_full((1, 1, layer.kernel, layer.kernel), layer.kernel**-2.0)
            x = F.conv2d(x, kernel, stride=layer.stride, padding=layer.padding)
            maps.append(x)
        return maps


@st.composite
def backbones(draw, max_maps=3):
    """Of maps with the strides 2, 4, 8 or 2, 6, ..., with paddings of any size."""
    layers = []
    for _ in range(draw(st.integers(1, max_maps))):
        kernel = draw(st.integers(2, 5))
        stride = draw(st.integers(2, min(3, kernel)))
        layers.append(Conv(kernel, stride, draw(st.integers(0, kernel + 1))))
    return Means(layers)


def discriminator_backbone(size=32, kernel_size=4, channels=3, width=4, **options):
    torch.manual_seed(0)
    D = Discriminator(size, channels, width, kernel_size, **options)
    return DiscriminatorBackbone(D)


def randomized(fcn, skips=True):
    """The network with random scores, in evaluation mode; only of the deepest map without skips."""
    generator = torch.Generator().manual_seed(1)
    for score in fcn.scores if skips else fcn.scores[-1:]:
        for parameter in score.parameters():
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return fcn.eval()
