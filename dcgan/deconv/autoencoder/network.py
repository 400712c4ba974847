"""The denoising autoencoder: a discriminator's blocks as encoder, a generator as decoder."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from dcgan.latent.posterior import from_gaussian
from dcgan.networks import (
    INITIAL_STD,
    Encoder,
    Generator,
    StridedConvTranspose2d,
    encoder_options,
)


class DenoisingAutoencoder(nn.Module):
    """Corrupted images to clean ones (Vincent et al. 2008, section 2.2).

    x: [N, channels, size, size] in [-1, 1] -> the same shape and range. The encoder has the blocks
    of `Discriminator`, with biases and without batch norm, and a linear layer to the code
    [N, code_dim]; the decoder is a `Generator` with batch norm.

    The maps of every block of the encoder are added to those of the same size in the decoder, which
    mirrors it (symmetric skip connections; Mao, Shen and Yang 2016, arXiv:1603.09056). `gate` is a
    second last layer of the decoder. For the decoder's image m and a gate g in [0, 1] for each
    value, which its sigmoid gives, the output is m + g (x - m). If the pixel were normal around m
    with variance v, and x it with noise of variance s^2, g = v / (v + s^2) would have the least
    squared error.

    `gate` is None for a decoder of a GAN, which stays as it is, in evaluation mode, and sees the
    code alone (`frozen`). The code is then its latent vector, in the form that `networks.Encoder`
    has it in: with the prior N(0, 1), see `latent.posterior`.
    """

    def __init__(
        self, encoder: Encoder, decoder: Generator, gate: StridedConvTranspose2d | None = None
    ):
        super().__init__()
        self.encoder, self.decoder, self.gate = encoder, decoder, gate
        self.frozen = gate is None
        self.size, self.channels = decoder.size, decoder.channels
        if self.frozen:
            decoder.requires_grad_(False).eval()

    def code(self, x: Tensor) -> Tensor:
        """The code of images: [N, code_dim]."""
        return self.encoder(x)[0]

    def features(self, x: Tensor) -> list[Tensor]:
        """Activations of every block of the encoder, from [N, width, size/2, size/2] to
        [N, widest, 4, 4], as `Discriminator.features` has them.
        """
        maps = []
        for block in self.encoder.blocks:
            x = block(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is None:
            return self.decoder(from_gaussian(self.code(x), self.decoder.latent))
        skipped = self.features(x)
        projection, *layers, tanh = self.decoder.layers
        maps = projection(self.encoder.head(skipped[-1].flatten(1))[:, :, None, None])
        for norm, relu, upsample in zip(*(layers[i::3] for i in range(3)), strict=True):
            activations = relu(norm(maps + skipped.pop()))
            maps = upsample(activations)
        made = tanh(maps)  # [N, channels, size, size], as the gate is
        return torch.lerp(made, x, self.gate(activations).sigmoid())

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            self.decoder.eval()
        return self


def build_autoencoder(
    *,
    size: int,
    channels: int,
    width: int,
    kernel_size: int,
    code_dim: int,
) -> DenoisingAutoencoder:
    """A new autoencoder, all of which is trained. Raises UsageError as `Generator` does."""
    decoder = Generator(
        size,
        channels,
        width,
        code_dim,
        latent="normal",
        kernel_size=kernel_size,
    )
    encoder = Encoder(**encoder_options(decoder))
    if not encoder.head.weight.is_meta:
        # The zeros that the head begins with would give all images of a batch one code, which the
        # decoder's batch norm would divide by a standard deviation of zero.
        nn.init.normal_(encoder.head.weight, 0.0, encoder.head.in_features**-0.5)
    gate = StridedConvTranspose2d(width, channels, kernel_size)
    if not gate.weight.is_meta:
        nn.init.normal_(gate.weight, 0.0, INITIAL_STD)
    return DenoisingAutoencoder(encoder, decoder, gate)


def autoencoder_around(G: Generator) -> DenoisingAutoencoder:
    """An autoencoder whose decoder is G, which stays as it is, with a new encoder."""
    return DenoisingAutoencoder(Encoder(**encoder_options(G)), G)


def options_of_generator(G: Generator) -> dict[str, Any]:
    """The options of the networks around G, by their names in `DenoiseTrainConfig`."""
    options: dict[str, Any] = dict(encoder_options(G))
    del options["num_labels"]
    options["code_dim"] = options.pop("latent_dim")
    return options
