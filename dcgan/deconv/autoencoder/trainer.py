"""The training step of a denoising autoencoder, and what it is made of."""

import threading

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan.config.denoising import DenoiseTrainConfig
from dcgan.deconv.autoencoder.batches import DenoisingBatch
from dcgan.deconv.autoencoder.network import (
    autoencoder_around,
    build_autoencoder,
)
from dcgan.deconv.autoencoder.state import DenoisingState
from dcgan.networks import INITIAL_STD, Generator, StridedConvTranspose2d
from dcgan.training.kernel_smoothing import init_bilinear
from dcgan.training.optimizer import adam_step, gradients, lr_factor, set_lr
from dcgan.training.run_state import load_tensors, named_tensors

_BETAS = (0.9, 0.999)
_building = threading.Lock()  # torch's random numbers are of all threads


def denoising_step(
    network: nn.Module,
    optimizer: torch.optim.Adam,
    batch: DenoisingBatch,
    found_non_finite: Tensor,
) -> dict[str, Tensor]:
    """Update a network by the mean squared error between what it makes of the corrupted images and
    the clean ones (Vincent et al. 2010, section 3.2, for real values).

    `found_non_finite`, 0-dim, becomes 1 in the first step whose loss or gradient is not finite;
    from then on the network stays as it was. Returns scalars on the device.
    """
    optimizer.zero_grad()
    loss = F.mse_loss(network(batch.corrupted), batch.clean)
    loss.backward()
    norm = torch.nn.utils.get_total_norm(gradients(network))
    found_non_finite.masked_fill_(~(loss.detach() + norm).isfinite(), 1.0)
    adam_step(optimizer, skip=found_non_finite)
    return {"loss": loss.detach(), "grad_norm": norm}


class DenoisingTrainer:
    """The network, its optimizer, and the training step."""

    def __init__(
        self,
        config: DenoiseTrainConfig,
        size: int,
        channels: int,
        device: torch.device,
        decoder: Generator | None = None,
    ):
        """`decoder`: the generator of a GAN that becomes the decoder; None for a new one."""
        self.config, self.device, self.step = config, device, 0
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
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.trained: nn.Module = network.encoder if network.frozen else network
        self.optimizer = torch.optim.Adam(
            self.trained.parameters(), config.lr, betas=_BETAS, fused=True
        )
        self.found_non_finite = torch.zeros((), device=device)

    def update(self, batch: DenoisingBatch) -> dict[str, Tensor]:
        """One step. Returns scalars on the device."""
        config = self.config
        set_lr(self.optimizer, config.lr * lr_factor(self.step / config.steps, config.lr_decay))
        self.network.train()
        scalars = denoising_step(self.network, self.optimizer, batch, self.found_non_finite)
        self.step += 1
        return scalars

    def tensors(self) -> dict[str, Tensor]:
        """All that a resumed trainer needs, under the names of `DenoisingState`; no copies."""
        return named_tensors(self._modules(), self._optimizers())

    def load(self, state: DenoisingState) -> None:
        """Continue from the state of a run. Raises ValueError for tensors of other networks."""
        load_tensors(state, self._modules(), self._optimizers())
        self.step = state.step

    def _modules(self) -> dict[str, nn.Module]:
        return {"encoder": self.network.encoder, "decoder": self.network.decoder}

    def _optimizers(self) -> dict[str, tuple[torch.optim.Adam, nn.Module]]:
        return {"optimizer": (self.optimizer, self.trained)}
