"""Checkpoints: one safetensors file that holds all a run needs to go on, and nothing executable.

Tensors are named `G.`, `D.`, `ema.` + state-dict name, and `opt_G.`, `opt_D.` + slot + parameter;
`augment.p` is the strength of the augmentation, `labels.examples` are combinations of labels.
The header holds one JSON text under `dcgan`: format, step, seconds, config, fingerprint of the
data, metrics, the sums that the next line of the log goes on from, and what the monitor has said;
and under `sha256` a checksum of that text and of all tensors.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dcgan.config import NETWORK_OPTIONS, TrainConfig, validate_network
from dcgan.errors import UsageError, UserError
from dcgan.latent import Labels
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.disk import check_free_space

FORMAT = 2
WITHOUT_CHECKSUM = 1  # the format before
# What reading a file that is no checkpoint raises; RecursionError comes of JSON without end.
UNREADABLE = (OSError, SafetensorError, UsageError, ValueError, TypeError, RecursionError)


@dataclass(frozen=True)
class Checkpoint:
    """A file that has been found to be a checkpoint; tensors are read when asked for."""

    path: Path
    header: dict

    @property
    def step(self) -> int:
        """Training steps done."""
        return self.header["step"]

    @property
    def config(self) -> dict:
        """The `TrainConfig` of the run as plain JSON values."""
        return LEGACY | self.header["config"]

    @cached_property
    def labels(self) -> Labels | None:
        """The labels that the networks know. Raises UserError where the file contradicts itself."""
        header = self.header.get("labels")
        if header is None:
            return None
        try:
            return Labels.from_checkpoint(header, self.tensors("labels.").get("examples"))
        except ValueError as error:
            raise damaged(self.path, error) from error

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under `prefix`, on the CPU, without it in their names."""
        try:
            with safe_open(self.path, "pt") as file:
                return {
                    name.removeprefix(prefix): file.get_tensor(name)
                    for name in file.keys()  # noqa: SIM118 (it is not a dict)
                    if name.startswith(prefix)
                }
        except (OSError, SafetensorError) as error:
            raise damaged(self.path, error) from error

    def restore(self, module: nn.Module, prefix: str) -> None:
        """Copy the tensors under `prefix` into a module. Raises UserError where they differ."""
        try:
            module.load_state_dict(self.tensors(prefix))
        except RuntimeError as error:
            raise damaged(self.path, str(error).splitlines()[-1].strip()) from error

    def restore_optimizer(self, optimizer: torch.optim.Optimizer, module: nn.Module, prefix: str):
        """Fill an optimizer over the parameters of `module` with its saved state."""
        tensors = self.tensors(prefix)
        for name, parameter in module.named_parameters():
            slots = {slot: tensors.get(f"{slot}.{name}") for slot in SLOTS}
            # Adam's kernels trust these sizes: a wrong one would read beyond the tensor.
            for slot, value in slots.items():
                shape = torch.Size() if slot == "step" else parameter.shape
                if value is None or (value.shape, value.dtype) != (shape, torch.float32):
                    raise damaged(self.path, f"its state of Adam does not fit {name}")
            optimizer.state[parameter] = {
                slot: like(value, parameter) for slot, value in slots.items()
            }


SLOTS = ("step", "exp_avg", "exp_avg_sq")
# What runs were before there were these options.
LEGACY = {
    **dict(batch_norm_D=True, bias_D=False, spectral_norm=False, minibatch_std=False),
    **dict(conditional=False, clip=0.0),
    **dict(d_steps=1, loss="non-saturating", r1=0.0, r2=0.0, augment_p=0.0, smooth=False),
}


def like(value: Tensor, parameter: Tensor) -> Tensor:
    value = value.to(parameter.device)
    return value if value.dim() < 4 else value.contiguous(memory_format=torch.channels_last)


def damaged(path: Path, reason) -> UserError:
    return UserError(f"{path} is not a usable checkpoint: {reason}")


def named(
    modules: dict[str, nn.Module], optimizers: dict[str, tuple[torch.optim.Optimizer, nn.Module]]
) -> dict[str, Tensor]:
    """The tensors of a checkpoint under their names: those that training goes on changing."""
    return {
        f"{prefix}.{name}": value
        for prefix, module in modules.items()
        for name, value in module.state_dict().items()
    } | {
        f"{prefix}.{slot}.{name}": optimizer.state[parameter][slot]
        for prefix, (optimizer, module) in optimizers.items()
        for name, parameter in module.named_parameters()
        for slot in SLOTS
    }


def save(path: Path, header: dict, tensors: dict[str, Tensor]) -> None:
    """Write a checkpoint atomically: contiguous tensors of the CPU, and a `header` for JSON.

    Raises UserError where the disk refuses; nothing is written then.
    """
    text = json.dumps({"format": FORMAT, **header})
    metadata = {"dcgan": text, "sha256": checksum(text, tensors.items())}
    check_free_space(path, sum(tensor.nbytes for tensor in tensors.values()))
    with replace_atomically(path) as partial:
        try:
            partial.touch()
            mode = partial.stat().st_mode
            save_file(tensors, partial, metadata)
            partial.chmod(mode)  # it comes from a private temporary file
        except SafetensorError as error:
            raise OSError(str(error)) from error


def checksum(text: str, tensors: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 of a header's text, and of name, type, shape and bytes of every tensor."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors, key=itemgetter(0)):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def read(path: Path) -> Checkpoint:
    """Open one file and check all of it. Raises UserError for anything but a whole checkpoint."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    if not os.access(path, os.R_OK):
        raise UserError(f"cannot read {path}: permission denied")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            header = json.loads(metadata["dcgan"])
            if header["format"] not in (WITHOUT_CHECKSUM, FORMAT):
                raise damaged(path, f"format {header['format']} needs a newer dcgan")
            architecture(LEGACY | header["config"])
            check_whole("step", header["step"])
            if header["format"] == FORMAT:
                tensors = ((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118
                if checksum(metadata["dcgan"], tensors) != metadata["sha256"]:
                    raise damaged(path, "its checksum is another: it has been changed")
    except KeyError as error:
        raise damaged(path, f"its header lacks {error}") from error
    except UNREADABLE as error:
        raise damaged(path, error) from error
    return Checkpoint(path, header)


def check_whole(name: str, value) -> None:
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} cannot be {value!r}")


def architecture(config: dict) -> dict:
    """What the networks are built from. Raises ValueError, TypeError or KeyError for nonsense."""
    options = {name: config[name] for name in NETWORK_OPTIONS}
    for name, value in options.items():
        if type(value) is not type(getattr(TrainConfig, name)):
            raise TypeError(f"{name} cannot be {value!r}")
    validate_network(**options)
    return options
