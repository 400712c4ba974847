"""Trained denoising autoencoders, loaded from checkpoints."""

from pathlib import Path
from typing import Any

import torch

from dcgan.deconv.autoencoder.network import (
    DenoisingAutoencoder,
    autoencoder_around,
    build_autoencoder,
)
from dcgan.deconv.autoencoder.state import DenoisingState
from dcgan.errors import UsageError
from dcgan.networks import Generator
from dcgan.runs.checkpoint import DENOISER, Checkpoint, damaged
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.loading import assign_tensors
from dcgan.runtime.device import select_device


def load_autoencoder(path: Path, device: torch.device | str = "cpu") -> DenoisingAutoencoder:
    """The denoising autoencoder of a run folder or checkpoint file, in evaluation mode.

    Its `features` are those of the encoder. `device`: see `select_device`. Raises UserError if
    there is no usable checkpoint of an autoencoder, or no such device.
    """
    return autoencoder_in(find_checkpoint(path, DENOISER), device)


def autoencoder_in(found: Checkpoint, device: torch.device | str = "cpu") -> DenoisingAutoencoder:
    """The network of a checkpoint, as `load_autoencoder` returns it."""
    on, config = select_device(device), DenoisingState.config_in(found)
    state = DenoisingState.from_checkpoint(found)
    options: dict[str, Any] = dict(
        size=state.size,
        channels=state.channels,
        width=config.width,
        kernel_size=config.kernel_size,
    )
    # On "meta" nothing is allocated until the file has shown that it holds such a network.
    try:
        with torch.device("meta"):
            if state.frozen:
                G = Generator(latent_dim=config.code_dim, latent=state.latent, **options)
                network = autoencoder_around(G)
            else:
                network = build_autoencoder(code_dim=config.code_dim, **options)
    except (UsageError, TypeError) as error:
        raise damaged(found.path, error) from error
    for name, part in network.named_children():
        assign_tensors(part, state.section(f"{name}."), found.path, name)
    network = network.to(on).to(memory_format=torch.channels_last)
    return network.requires_grad_(False).eval()
