"""Options of the networks and of the images they are built for."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from dcgan.config.validation import require
from dcgan.errors import UsageError


@dataclass(frozen=True)
class ImageOptions:
    """Size and colour channels of the images."""

    size: int = 64
    """Side of the square images in pixels: a power of two from 8 to 1024 (tested: 32 to 256).
    Sets the number of layers in G and D."""
    channels: Literal[1, 3] = 3
    """Colour channels: 1 for greyscale, 3 for RGB."""


@dataclass(frozen=True)
class NetworkOptions:
    """Architecture of the generator G and the discriminator D (Radford et al. 2015, DCGAN)."""

    width: int = 64
    """Feature maps of the layers at half the image size. Each halving of the resolution doubles
    them, up to 8 x width."""
    latent_dim: int = 100
    """Dimension of the latent vector z."""
    latent: Literal["normal", "uniform"] = "normal"
    """Latent distribution: N(0, 1) for each component of z, or U(-1, 1) as in the DCGAN paper."""
    kernel_size: Literal[4, 5] = 4
    """Side of the stride-2 convolution kernels in pixels: 4 as in PyTorch's DCGAN example, 5 as in
    the code of the DCGAN paper."""
    batch_norm_D: bool = False
    """Use batch norm in D, as the DCGAN paper does. It makes the logit of an image depend on the
    rest of the batch, and so do the gradients that --r1 and --r2 penalise."""
    bias_D: bool = True
    """Add biases to the convolutions of D that no batch norm follows. Without biases and batch
    norm, D(c x) = c D(x) for c > 0: the logit grows with the contrast of the image."""
    spectral_norm: bool = False
    """Use spectral normalisation in D: divide each kernel by its largest singular value (Miyato et
    al. 2018). Excludes --batch-norm-D."""
    minibatch_std: bool = False
    """Append the standard deviation over groups of 4 images to D's last feature maps, against mode
    collapse (Karras et al. 2018)."""


# The options that define the networks of a checkpoint.
NETWORK_OPTIONS = tuple(
    field.name for group in (ImageOptions, NetworkOptions) for field in dataclasses.fields(group)
)


def validate_network(
    *,
    size: int,
    channels: int,
    width: int,
    kernel_size: int,
    latent_dim: int = NetworkOptions.latent_dim,
    latent: str = NetworkOptions.latent,
    batch_norm_D: bool = NetworkOptions.batch_norm_D,
    bias_D: bool = NetworkOptions.bias_D,
    spectral_norm: bool = NetworkOptions.spectral_norm,
    minibatch_std: bool = NetworkOptions.minibatch_std,
) -> None:
    """Raise UsageError unless a network with these NETWORK_OPTIONS can be built."""
    validate_size(size)
    require(channels in (1, 3), "channels", channels, "1 or 3")
    require(1 <= width <= 1024, "width", width, "from 1 to 1024")
    require(1 <= latent_dim <= 4096, "latent_dim", latent_dim, "from 1 to 4096")
    require(latent in ("normal", "uniform"), "latent", latent, "normal or uniform")
    require(kernel_size in (4, 5), "kernel_size", kernel_size, "4 or 5")
    if batch_norm_D and spectral_norm:
        raise UsageError("--batch-norm-D and --spectral-norm exclude each other: leave one out")


def validate_size(size: int) -> None:
    """Raise UsageError unless images of this side can be halved down to 4 pixels."""
    power_of_two = 8 <= size <= 1024 and size & (size - 1) == 0
    require(power_of_two, "size", size, "a power of two from 8 to 1024")
