"""Trained networks, loaded from checkpoints."""

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from dcgan import pretrained
from dcgan.errors import UsageError, UserError
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


def load_pretrained(name: str = "faces", device: torch.device | str = "cpu") -> Generator:
    """A generator that comes with the package, in evaluation mode: `faces` draws cartoon faces of
    64x64 pixels. Raises UsageError for an unknown name.
    """
    if name not in pretrained.NAMES:
        known = ", ".join(pretrained.NAMES)
        raise UsageError(f"no pretrained network {name!r}: choose one of {known}")
    return load_generator(pretrained.FOLDER / f"{name}.safetensors", device=device)


def load_discriminator(path: Path, device: torch.device | str = "cpu") -> Discriminator:
    """The discriminator of a checkpoint file or run folder, in evaluation mode.

    Raises UserError if there is no usable checkpoint or no such device.
    """
    return discriminator_in(find_checkpoint(path), device)


def discriminator_in(found: Checkpoint, device: torch.device | str = "cpu") -> Discriminator:
    """The discriminator of an open checkpoint, as `load_discriminator` returns it."""
    return _load_network(Discriminator, found, "D.", device)


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
    if not tensors:
        what = "averaged weights" if prefix == "ema." else "weights of the last step"
        raise UserError(f"{found.path} does not hold the {kind.__name__}'s {what}")
    tensors = {name: in_full_precision(tensor) for name, tensor in tensors.items()}
    assign_tensors(network, tensors, found.path, kind.__name__)
    network = network.to(on).to(memory_format=torch.channels_last)
    return network.requires_grad_(False).eval()


def assign_tensors(
    network: nn.Module, tensors: dict[str, torch.Tensor], path: Path, name: str
) -> None:
    """Give a network, which may be on "meta", the tensors that a checkpoint file has for it.

    `name`: of the network, for errors. Raises UserError unless they are all that it has, of its
    shapes and data types, and finite.
    """
    if {k: (v.shape, v.dtype) for k, v in tensors.items()} != {
        k: (v.shape, v.dtype) for k, v in network.state_dict().items()
    }:
        raise damaged(path, f"its {name} does not match its config")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise damaged(path, f"its {name} has numbers that are not finite")
    network.load_state_dict(tensors, assign=True)


def in_full_precision(tensor: torch.Tensor) -> torch.Tensor:
    """A stored tensor of a network as it is used: halves become float32."""
    return tensor.float() if tensor.dtype == torch.float16 else tensor
