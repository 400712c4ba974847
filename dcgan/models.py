"""The two networks of Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep
Convolutional Generative Adversarial Networks", 2015 (arXiv:1511.06434), section 3.
"""

import torch
from torch import Tensor, nn

from dcgan.config import TrainConfig
from dcgan.convolution import channels_last, downsample, upsample

BASE = 4  # side of the smallest feature maps
WIDEST = 8  # the widest layer has at most this many times `width` channels
INITIAL_STD = 0.02  # section 4 of the paper


class Downsample(nn.Module):
    """`downsample` with a learnt kernel and no bias."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel_size, kernel_size))

    def forward(self, x: Tensor) -> Tensor:
        return downsample(x, self.weight)


class Upsample(nn.Module):
    """`upsample` with a learnt kernel and no bias."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs, kernel_size, kernel_size))

    def forward(self, x: Tensor) -> Tensor:
        return upsample(x, self.weight)


class Project(nn.ConvTranspose2d):
    """Latents to the smallest maps. Of one latent an image that is a matrix product, which is
    several times as fast as torch's convolution.
    """

    def forward(self, z: Tensor) -> Tensor:
        if z.shape[2:] != (1, 1):
            return super().forward(z)
        maps = z.flatten(1) @ self.weight.permute(0, 2, 3, 1).flatten(1)
        return maps.unflatten(1, (*self.kernel_size, -1)).permute(0, 3, 1, 2)


def widths(size: int, width: int) -> list[int]:
    """Channels of the feature maps of side 4, 8, ..., size/2, for example 512, 256, 128, 64."""
    depth = size.bit_length() - BASE.bit_length()
    return [width * min(WIDEST, 2**i) for i in reversed(range(depth))]


class Generator(nn.Module):
    """Latent vectors to images by strided transposed convolutions (paper, figure 1).

    z: [N, latent_dim] -> [N, channels, size, size] in [-1, 1]. A grid of latents
    [N, latent_dim, h, w] gives one larger image: [N, channels, size/4 (h + 3), size/4 (w + 3)].

    `latent` is the law of z that the network was trained on.
    """

    def __init__(
        self,
        size: int = TrainConfig.size,
        channels: int = TrainConfig.channels,
        width: int = TrainConfig.width,
        latent_dim: int = TrainConfig.latent_dim,
        latent: str = TrainConfig.latent,
        kernel_size: int = TrainConfig.kernel_size,
    ):
        super().__init__()
        self.size, self.channels = size, channels
        self.latent_dim, self.latent = latent_dim, latent
        first, *rest = widths(size, width)
        layers = [Project(latent_dim, first, BASE, bias=False)]
        inputs = first
        for outputs in rest:
            layers += [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
            layers += [Upsample(inputs, outputs, kernel_size)]
            inputs = outputs
        layers += [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
        layers += [Upsample(inputs, channels, kernel_size), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        if z.dim() == 2:
            z = z[:, :, None, None]
        return self.layers(channels_last(z))


class Discriminator(nn.Module):
    """Images to logits of being real by strided convolutions.

    x: [N, channels, size, size] in [-1, 1] -> [N]. A larger image gets the mean of the logits of
    all its windows.
    """

    def __init__(
        self,
        size: int = TrainConfig.size,
        channels: int = TrainConfig.channels,
        width: int = TrainConfig.width,
        kernel_size: int = TrainConfig.kernel_size,
    ):
        super().__init__()
        last, *rest = widths(size, width)
        inputs, blocks = channels, []
        for outputs in reversed([last, *rest]):
            norm = [nn.BatchNorm2d(outputs)] if blocks else []
            blocks.append(
                nn.Sequential(
                    Downsample(inputs, outputs, kernel_size),
                    *norm,
                    nn.LeakyReLU(0.2, inplace=True),
                )
            )
            inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.score = nn.Conv2d(last, 1, BASE, bias=False)
        initialise(self)

    def features(self, x: Tensor) -> list[Tensor]:
        """Activations of every block, from [N, width, size/2, size/2] to [N, widest, 4, 4]."""
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.features(x)[-1]).mean((1, 2, 3))


def initialise(network: nn.Module) -> None:
    """Kernels from N(0, 0.02); batch norm starts as N(1, 0.02) and 0, as in the authors' code."""
    if next(network.parameters()).is_meta:
        return  # nothing is there to fill, and torch would import its compiler, for seconds
    for module in network.modules():
        if isinstance(module, Downsample | Upsample | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, INITIAL_STD)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, INITIAL_STD)
            nn.init.zeros_(module.bias)


def networks(config: TrainConfig) -> tuple[Generator, Discriminator]:
    """G and D as a configuration describes them."""
    c = config
    return (
        Generator(c.size, c.channels, c.width, c.latent_dim, c.latent, c.kernel_size),
        Discriminator(c.size, c.channels, c.width, c.kernel_size),
    )
