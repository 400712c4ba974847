"""Trained networks, loaded from checkpoints."""

from pathlib import Path

import torch
from torch import nn

from dcgan.networks.models import Discriminator, Generator, build
from dcgan.runs.checkpoint import Checkpoint, architecture, damaged
from dcgan.runs.run_folder import find_checkpoint


def load_generator(path: Path, ema: bool = True, device: torch.device | str = "cpu") -> Generator:
    """The generator of a checkpoint file or run folder, in evaluation mode.

    `ema` takes the averaged weights, which give the better images. Its `conditions` are the labels
    that it can be asked for. Raises UserError.
    """
    found = find_checkpoint(path)
    G = load(Generator, found, "ema." if ema else "G.", device)
    G.conditions = found.conditions
    return G


def load_discriminator(path: Path, device: torch.device | str = "cpu") -> Discriminator:
    """The discriminator of a checkpoint file or run folder, in evaluation mode. UserError."""
    return load(Discriminator, find_checkpoint(path), "D.", device)


def load(kind: type[nn.Module], found: Checkpoint, prefix: str, device) -> nn.Module:
    # On "meta" nothing is allocated until the file has shown that it holds such a network.
    with torch.device("meta"):
        network = build(kind, architecture(found.config), len(found.conditions.names))
    tensors = found.tensors(prefix)
    expected = network.state_dict()
    if {k: (v.shape, v.dtype) for k, v in tensors.items()} != {
        k: (v.shape, v.dtype) for k, v in expected.items()
    }:
        raise damaged(found.path, f"its {kind.__name__} does not match its config")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise damaged(found.path, f"its {kind.__name__} has numbers that are not finite")
    network.load_state_dict(tensors, assign=True)
    network = network.to(device, memory_format=torch.channels_last)
    return network.requires_grad_(False).eval()
