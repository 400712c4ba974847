"""Initial weights of the networks.

Weights on the "meta" device are left alone: nothing is allocated there, and filling them would make
torch import its compiler, which takes seconds.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dcgan.networks.layers import (
    BASE_SIZE,
    LEAKY_SLOPE,
    StridedConv2d,
    StridedConvTranspose2d,
)

INITIAL_STD = 0.02  # Radford et al. 2015, section 4
LATENT_VARIANCES = {"normal": 1.0, "uniform": 1 / 3}  # of N(0, 1) and U(-1, 1)
_MIN_LABEL_VARIANCE = 0.25  # of one label of half of the images; rarer ones get no longer rows
_LINEAR_LAYERS = (StridedConv2d, StridedConvTranspose2d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def dcgan_initialize(network: nn.Module) -> None:
    """Kernels from N(0, 0.02), batch norm from N(1, 0.02) with bias 0, as in the authors' code.

    The embedding of D's labels is multiplied by means over the 16 positions of the last maps, where
    Miyato and Koyama's code takes sums: 16 times the standard deviation makes up for that.
    """
    if _is_meta(network):
        return
    for module in network.modules():
        if isinstance(module, _LINEAR_LAYERS):
            embeds = isinstance(module, nn.Linear)
            nn.init.normal_(module.weight, 0.0, INITIAL_STD * (BASE_SIZE**2 if embeds else 1))
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, INITIAL_STD)
            nn.init.zeros_(module.bias)


@torch.no_grad()
def initialize_label_rows(
    kernel: Tensor, num_labels: int, latent: str, label_variance: float
) -> None:
    """Scale the last `num_labels` rows of the kernel of a `LatentProjection` [latent_dim +
    num_labels, C', k, k], so that labels and latents contribute equal variances to its maps.

    One number in {0, 1} beside a hundred of N(0, 1) would be 1 % of them, and the images would
    hardly depend on it. `latent`: the distribution of the latents. `label_variance`: the sum of the
    variances of the labels over the images.
    """
    if kernel.is_meta or not num_labels:
        return
    latent_variance = (len(kernel) - num_labels) * LATENT_VARIANCES[latent]
    kernel[-num_labels:] *= (latent_variance / max(label_variance, _MIN_LABEL_VARIANCE)) ** 0.5


@torch.no_grad()
def he_initialize(network: nn.Module) -> None:
    """He initialisation of the strided convolutions: activations keep their variance with depth
    where no batch norm restores it (He et al. 2015, equation 15).
    """
    if _is_meta(network):
        return
    gain = nn.init.calculate_gain("leaky_relu", LEAKY_SLOPE)
    for module in network.modules():
        if isinstance(module, StridedConv2d):
            nn.init.normal_(module.weight, 0.0, gain / module.weight[0].numel() ** 0.5)


@torch.no_grad()
def equalize_kernel_scales(kernels: Sequence[Tensor], embedding: Tensor | None = None) -> None:
    """Move the standard deviations of the kernels of a network halfway to their geometric mean, so
    that all layers learn at more similar rates.

    Adam moves all weights at one speed, which is a smaller relative change for a kernel of large
    weights (Karras et al. 2018, section 4.1). The product of the scales is kept, and with it the
    function of the network, since leaky ReLUs are homogeneous. `embedding` reads the same features
    as the last kernel and is scaled as that is.
    """
    if kernels[0].is_meta:
        return
    deviations = torch.stack([kernel.std() for kernel in kernels])
    scales = (deviations.log().mean().exp() / deviations).sqrt()
    for kernel, scale in zip(kernels, scales, strict=True):
        kernel.mul_(scale)
    if embedding is not None:
        embedding.mul_(scales[-1])


def _is_meta(network: nn.Module) -> bool:
    return next(network.parameters()).is_meta
