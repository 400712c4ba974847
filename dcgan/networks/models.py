"""The two networks of Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep
Convolutional Generative Adversarial Networks", 2015 (arXiv:1511.06434), section 3.
"""

import inspect

import torch
from torch import Tensor, nn

from dcgan.config import NETWORK_OPTIONS, TrainConfig
from dcgan.latent.labels import UNCONDITIONAL
from dcgan.networks.strided_convolution import channels_last, downsample, upsample

BASE = 4  # side of the smallest feature maps
WIDEST = 8  # the widest layer has at most this many times `width` channels
INITIAL_STD = 0.02  # section 4 of the paper
SLOPE = 0.2  # of the leaky ReLU, section 4 of the paper
GROUP = 4  # images whose spread `MinibatchStd` measures together


class Downsample(nn.Module):
    """`downsample` with a learnt kernel, and a bias where it is asked for."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, bias: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        maps = downsample(x, self.weight)
        # A bias in fp32 would make maps in bf16 fp32 too.
        return maps if self.bias is None else maps + self.bias.to(maps.dtype)[:, None, None]


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


class MinibatchStd(nn.Module):
    """Appends one map that holds how much the images of a group differ, so that D sees a G that
    has collapsed (Karras et al. 2018, section 3).

    [N, C, H, W] -> [N, C + 1, H, W]. The images i, i + N/4, i + 2N/4 and i + 3N/4 are a group; all
    N of them where 4 does not divide N.
    """

    def forward(self, x: Tensor) -> Tensor:
        members = GROUP if len(x) % GROUP == 0 else len(x)
        groups = x.unflatten(0, (members, -1))
        spread = (groups.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        maps = spread.repeat(members)[:, None, None, None].expand(-1, 1, *x.shape[2:])
        return torch.cat([x, maps], 1)


def widths(size: int, width: int) -> list[int]:
    """Channels of the feature maps of side 4, 8, ..., size/2, for example 512, 256, 128, 64."""
    depth = size.bit_length() - BASE.bit_length()
    return [width * min(WIDEST, 2**i) for i in reversed(range(depth))]


class Generator(nn.Module):
    """Latent vectors to images by strided transposed convolutions (paper, figure 1).

    z: [N, latent_dim] -> [N, channels, size, size] in [-1, 1]. A grid of latents
    [N, latent_dim, h, w] gives one larger image: [N, channels, size/4 (h + 3), size/4 (w + 3)].

    `latent` is the law of z that the network was trained on. A conditional G reads `labels` numbers
    of 0 and 1 after those of each z, for which its first layer learns an embedding:
    [N, latent_dim + labels].
    """

    def __init__(
        self,
        size: int = TrainConfig.size,
        channels: int = TrainConfig.channels,
        width: int = TrainConfig.width,
        latent_dim: int = TrainConfig.latent_dim,
        latent: str = TrainConfig.latent,
        kernel_size: int = TrainConfig.kernel_size,
        labels: int = 0,
    ):
        super().__init__()
        self.size, self.channels = size, channels
        self.conditions = UNCONDITIONAL  # those of a trained network come with its checkpoint
        self.latent_dim, self.latent = latent_dim, latent
        first, *rest = widths(size, width)
        layers = [Project(latent_dim + labels, first, BASE, bias=False)]
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

    `batch_norm_D` is the paper's, between the first and the last layer; `bias_D` gives the layers
    without it a bias; `spectral_norm` divides every kernel by its largest singular value (Miyato et
    al. 2018). A conditional D is given labels
    too, [N, labels] of 0 and 1, and adds the product of their embedding with the features to the
    logit (projection discriminator, Miyato and Koyama 2018, equation 3).
    """

    def __init__(
        self,
        size: int = TrainConfig.size,
        channels: int = TrainConfig.channels,
        width: int = TrainConfig.width,
        kernel_size: int = TrainConfig.kernel_size,
        batch_norm_D: bool = True,
        bias_D: bool = False,
        spectral_norm: bool = False,
        minibatch_std: bool = False,
        labels: int = 0,
    ):
        super().__init__()
        last, *rest = widths(size, width)
        inputs, blocks = channels, []
        for outputs in reversed([last, *rest]):
            norm = [nn.BatchNorm2d(outputs)] if blocks and batch_norm_D else []
            blocks.append(
                nn.Sequential(
                    Downsample(inputs, outputs, kernel_size, bias=bias_D and not norm),
                    *norm,
                    nn.LeakyReLU(SLOPE, inplace=True),
                )
            )
            inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.spread = MinibatchStd() if minibatch_std else nn.Identity()
        self.score = nn.Conv2d(last + minibatch_std, 1, BASE, bias=False)
        self.embed = nn.Linear(labels, last, bias=False) if labels else None
        initialise(self)
        if not batch_norm_D:
            keep_variance(self)
            keep_pace(self)
        if spectral_norm:
            for module in self.modules():
                if isinstance(module, Downsample | nn.Conv2d | nn.Linear):
                    nn.utils.parametrizations.spectral_norm(module)

    def features(self, x: Tensor) -> list[Tensor]:
        """Activations of every block, from [N, width, size/2, size/2] to [N, widest, 4, 4]."""
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        maps = self.features(x)[-1]
        logits = self.score(self.spread(maps)).mean((1, 2, 3))
        if self.embed is not None:
            logits = logits + (self.embed(labels.to(maps.dtype)) * maps.mean((2, 3))).sum(1)
        return logits


def initialise(network: nn.Module) -> None:
    """Kernels from N(0, 0.02); batch norm starts as N(1, 0.02) and 0, as in the authors' code."""
    if next(network.parameters()).is_meta:
        return  # nothing is there to fill, and torch would import its compiler, for seconds
    for module in network.modules():
        if isinstance(module, Downsample | Upsample | nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, INITIAL_STD)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, INITIAL_STD)
            nn.init.zeros_(module.bias)


@torch.no_grad()
def keep_variance(network: nn.Module) -> None:
    """Scale kernels so that activations neither grow nor fade with depth (He et al. 2015, equation
    15), which batch norm sees to where it is.
    """
    if next(network.parameters()).is_meta:
        return
    gain = nn.init.calculate_gain("leaky_relu", SLOPE)
    for module in network.modules():
        if isinstance(module, Downsample):
            nn.init.normal_(module.weight, 0.0, gain / module.weight[0].numel() ** 0.5)


@torch.no_grad()
def keep_pace(D: Discriminator) -> None:
    """Bring the spreads of D's kernels halfway together, so that its layers learn more alike.

    Adam moves all numbers at one speed, and so changes a wide kernel less, in proportion, than a
    narrow one: D's first ten times less than its last (Karras et al. 2018, section 4.1). The
    product of the scales is kept, and with it the function: a leaky ReLU passes them on.
    """
    if next(D.parameters()).is_meta:
        return
    kernels = [*(block[0].weight for block in D.blocks), D.score.weight]
    spreads = torch.stack([kernel.std() for kernel in kernels])
    scales = (spreads.log().mean().exp() / spreads).sqrt()
    for kernel, scale in zip(kernels, scales, strict=True):
        kernel.mul_(scale)
    if D.embed is not None:  # it reads the maps that the score does
        D.embed.weight.mul_(scales[-1])


def networks(config: TrainConfig, labels: int = 0) -> tuple[Generator, Discriminator]:
    """G and D as a configuration describes them, for so many labels."""
    options = {name: getattr(config, name) for name in NETWORK_OPTIONS}
    return build(Generator, options, labels), build(Discriminator, options, labels)


def build(kind: type[nn.Module], options: dict, labels: int) -> nn.Module:
    """A `Generator` or `Discriminator` of those of the options that it knows."""
    known = inspect.signature(kind).parameters
    return kind(**{k: v for k, v in options.items() if k in known}, labels=labels)
