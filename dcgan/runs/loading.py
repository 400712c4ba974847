"""Trained networks, loaded from checkpoints."""

from pathlib import Path
from typing import TypeVar

import torch

from dcgan.networks import Discriminator, Generator, build_network
from dcgan.runs.checkpoint import Checkpoint, damaged, network_options
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runtime.device import select_device

_Network = TypeVar("_Network", Generator, Discriminator)


def load_generator(path: Path, ema: bool = True, device: torch.device | str = "cpu") -> Generator:
    """The generator of a checkpoint file or run folder, in evaluation mode.

    `ema`: the averaged weights, which give better images than those of the last step. `device`: see
    `select_device`. Raises UserError if there is no usable checkpoint or no such device.
    """
    found = find_checkpoint(path)
    G = _load_network(Generator, found, "ema." if ema else "G.", device)
    G.labels = found.labels
    return G


def load_discriminator(path: Path, device: torch.device | str = "cpu") -> Discriminator:
    """The discriminator of a checkpoint file or run folder, in evaluation mode.

    Raises UserError if there is no usable checkpoint or no such device.
    """
    return _load_network(Discriminator, find_checkpoint(path), "D.", device)


def _load_network(
    kind: type[_Network], found: Checkpoint, prefix: str, device: torch.device | str
) -> _Network:
    """A network of a checkpoint in evaluation mode, channels last. `prefix`: of its tensors."""
    on = select_device(device)
    # On "meta" nothing is allocated until the file has shown that it holds such a network.
    num_labels = len(found.labels.names) if found.labels else 0
    with torch.device("meta"):
        network = build_network(kind, network_options(found.config), num_labels)
    tensors = found.tensors(prefix)
    expected = network.state_dict()
    if {k: (v.shape, v.dtype) for k, v in tensors.items()} != {
        k: (v.shape, v.dtype) for k, v in expected.items()
    }:
        raise damaged(found.path, f"its {kind.__name__} does not match its config")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise damaged(found.path, f"its {kind.__name__} has numbers that are not finite")
    network.load_state_dict(tensors, assign=True)
    network = network.to(on).to(memory_format=torch.channels_last)
    return network.requires_grad_(False).eval()
