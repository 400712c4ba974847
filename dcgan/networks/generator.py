"""The generator of Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep
Convolutional Generative Adversarial Networks", 2015 (arXiv:1511.06434), section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dcgan.config import TrainConfig, validate_network
from dcgan.errors import UsageError
from dcgan.networks.channels_last import to_channels_last
from dcgan.networks.initialization import dcgan_initialize, initialize_label_rows
from dcgan.networks.layers import (
    BASE_SIZE,
    LatentProjection,
    StridedConvTranspose2d,
    feature_channels,
)
from dcgan.networks.tiles import forward_in_tiles
from dcgan.sizes import output_sizes

if TYPE_CHECKING:
    from dcgan.latent import Labels


class Generator(nn.Module):
    """Latent vectors to images by strided transposed convolutions (Radford et al., figure 1).

    z: [N, latent_dim] -> [N, channels, size, size] in [-1, 1]. A grid of latents
    [N, latent_dim, h, w] gives one larger image: [N, channels, size/4 (h + 3), size/4 (w + 3)]. In
    evaluation mode it is computed in tiles, see `networks.tiles`.

    `latent` is the distribution of z that the network is trained with. A conditional G reads
    `num_labels` numbers in {0, 1} after those of each z, for which its first layer learns an
    embedding: [N, latent_dim + num_labels]. `labels` says which labels these are; it is None for an
    unconditional G. `label_variance`, for the initial weights, is the sum of their variances, see
    `Labels.variance`; the default is that of one of many classes.
    """

    labels: Labels | None

    def __init__(
        self,
        size: int = TrainConfig.size,
        channels: int = TrainConfig.channels,
        width: int = TrainConfig.width,
        latent_dim: int = TrainConfig.latent_dim,
        latent: str = TrainConfig.latent,
        kernel_size: int = TrainConfig.kernel_size,
        num_labels: int = 0,
        label_variance: float = 1.0,
    ):
        super().__init__()
        validate_network(
            size=size,
            channels=channels,
            width=width,
            latent_dim=latent_dim,
            latent=latent,
            kernel_size=kernel_size,
        )
        self.size, self.channels = size, channels
        self.latent_dim, self.latent = latent_dim, latent
        self.labels = None
        in_channels, *widths = feature_channels(size, width)
        first = LatentProjection(latent_dim + num_labels, in_channels, BASE_SIZE, bias=False)
        layers: list[nn.Module] = [first]
        for out_channels in [*widths, channels]:
            layers += [nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True)]
            layers += [StridedConvTranspose2d(in_channels, out_channels, kernel_size)]
            in_channels = out_channels
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self._require_size()
        dcgan_initialize(self)
        initialize_label_rows(first.weight, num_labels, latent, label_variance)

    def _require_size(self) -> None:
        kinds = (LatentProjection, StridedConvTranspose2d)
        axes = [layer.axis for layer in self.layers if isinstance(layer, kinds)]
        side = output_sizes(axes, 1)[-1]
        if side != self.size:
            raise UsageError(f"the layers make images of {side} pixels, not of {self.size}")

    def forward(self, z: Tensor) -> Tensor:
        if z.dim() == 2:
            z = z[:, :, None, None]
        z = to_channels_last(z)
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
        if z.shape[2:] == (1, 1) or self.training or traced:
            return self.layers(z)
        return forward_in_tiles(self.layers, z)
