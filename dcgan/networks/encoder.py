"""The encoder: images to the latents, and the labels, that a generator makes them from."""

from __future__ import annotations

from torch import Tensor, nn

from dcgan.config import TrainConfig
from dcgan.networks.discriminator import Discriminator
from dcgan.networks.generator import Generator
from dcgan.networks.layers import (
    BASE_SIZE,
    LatentProjection,
    StridedConvTranspose2d,
    feature_channels,
)


class Encoder(nn.Module):
    """The blocks of a discriminator with biases, and a linear layer instead of the score.

    x: [N, channels, size, size] in [-1, 1] -> latents [N, latent_dim] with the prior N(0, 1), see
    `latent.from_gaussian`, and logits of the labels [N, num_labels].
    """

    def __init__(
        self,
        size: int = TrainConfig.size,
        channels: int = TrainConfig.channels,
        width: int = TrainConfig.width,
        latent_dim: int = TrainConfig.latent_dim,
        kernel_size: int = TrainConfig.kernel_size,
        num_labels: int = 0,
    ):
        super().__init__()
        body = Discriminator(size, channels, width, kernel_size, batch_norm_D=False, bias_D=True)
        self.latent_dim = latent_dim
        self.blocks = body.blocks
        features = feature_channels(size, width)[0] * BASE_SIZE**2
        self.head = nn.Linear(features, latent_dim + num_labels)
        if not self.head.weight.is_meta:
            nn.init.zeros_(self.head.weight)  # so that the first guess is the mean
            nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for block in self.blocks:
            x = block(x)
        guesses = self.head(x.flatten(1))
        return guesses[:, : self.latent_dim], guesses[:, self.latent_dim :]


def encoder_options(G: Generator) -> dict[str, int]:
    """The arguments of `Encoder` for the images and the inputs of G, and as wide as G is."""
    first, last = G.layers[0], G.layers[-2]
    assert isinstance(first, LatentProjection) and isinstance(last, StridedConvTranspose2d)
    return {
        "size": G.size,
        "channels": G.channels,
        "width": last.weight.shape[0],
        "latent_dim": G.latent_dim,
        "kernel_size": last.weight.shape[-1],
        "num_labels": first.in_channels - G.latent_dim,
    }
