"""The denoising autoencoder: a discriminator's blocks as encoder, a generator as decoder."""

from typing import Any, Self

from torch import Tensor, nn

from dcgan.latent.posterior import from_gaussian
from dcgan.networks import Encoder, Generator, encoder_options


class DenoisingAutoencoder(nn.Module):
    """Corrupted images to clean ones through a code (Vincent et al. 2008, section 2.2).

    x: [N, channels, size, size] in [-1, 1] -> the same shape and range. The encoder has the blocks
    of `Discriminator`, with biases and without batch norm, and a linear layer to the code
    [N, code_dim]; the decoder is a `Generator` with batch norm.

    `frozen`: the decoder is that of a GAN, which stays as it is, in evaluation mode. The code is
    then its latent vector, in the form that `networks.Encoder` has it in: with the prior N(0, 1),
    see `latent.posterior`.
    """

    def __init__(self, encoder: Encoder, decoder: Generator, frozen: bool = False):
        super().__init__()
        self.encoder, self.decoder, self.frozen = encoder, decoder, frozen
        self.size, self.channels = decoder.size, decoder.channels
        if frozen:
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
        return self.decoder(from_gaussian(self.code(x), self.decoder.latent))

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
    return DenoisingAutoencoder(encoder, decoder)


def autoencoder_around(G: Generator) -> DenoisingAutoencoder:
    """An autoencoder whose decoder is G, which stays as it is, with a new encoder."""
    return DenoisingAutoencoder(Encoder(**encoder_options(G)), G, frozen=True)


def options_of_generator(G: Generator) -> dict[str, Any]:
    """The options of the networks around G, by their names in `DenoiseTrainConfig`."""
    options: dict[str, Any] = dict(encoder_options(G))
    del options["num_labels"]
    options["code_dim"] = options.pop("latent_dim")
    return options
