"""The training step of a denoising autoencoder, and what it is made of."""

import threading

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan.config.denoising import DenoiseTrainConfig
from dcgan.deconv.autoencoder.batches import DenoisingBatch
from dcgan.deconv.autoencoder.network import (
    DenoisingAutoencoder,
    autoencoder_around,
    build_autoencoder,
)
from dcgan.deconv.training import NetworkTrainer
from dcgan.networks import INITIAL_STD, Generator, StridedConvTranspose2d
from dcgan.training.eager_optimizers import Adam
from dcgan.training.kernel_smoothing import init_bilinear

_BETAS = (0.9, 0.999)
_building = threading.Lock()  # torch's random numbers are of all threads


def denoising_loss(network: nn.Module, batch: DenoisingBatch) -> Tensor:
    """The mean squared error between what a network makes of the corrupted images and the clean
    ones (Vincent et al. 2010, section 3.2, for real values).
    """
    return F.mse_loss(network(batch.corrupted), batch.clean)


class DenoisingTrainer(NetworkTrainer[DenoisingBatch]):
    """An autoencoder, its optimizer, and the training step."""

    config: DenoiseTrainConfig
    network: DenoisingAutoencoder

    def __init__(
        self,
        config: DenoiseTrainConfig,
        size: int,
        channels: int,
        device: torch.device,
        decoder: Generator | None = None,
    ):
        """`decoder`: the generator of a GAN that becomes the decoder; None for a new one."""
        with _building, torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            if decoder is not None:
                network = autoencoder_around(decoder)
            else:
                network = build_autoencoder(
                    size=size,
                    channels=channels,
                    width=config.width,
                    kernel_size=config.kernel_size,
                    code_dim=config.code_dim,
                )
                # As the generator of a GAN begins by default, against checkerboard artefacts.
                modules = network.decoder.modules()
                kernels = [m.weight for m in modules if isinstance(m, StridedConvTranspose2d)]
                init_bilinear(kernels, INITIAL_STD)
        network = network.to(device).to(memory_format=torch.channels_last)
        trained = network.encoder if network.frozen else network
        optimizer = Adam(trained.parameters(), config.lr, betas=_BETAS, fused=True)
        super().__init__(config, network, trained, optimizer)

    def loss(self, batch: DenoisingBatch) -> Tensor:
        return denoising_loss(self.network, batch)

    def modules(self) -> dict[str, nn.Module]:
        return dict(self.network.named_children())
