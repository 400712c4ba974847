"""The tensors of another program, from a safetensors file that is not trusted."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dcgan.config.validation import to_path
from dcgan.errors import UserError, printable
from dcgan.runs.foreign_files import describe_foreign_file

_WRAPPER = "module."  # in front of every name after nn.DataParallel
_COUNTER = ".num_batches_tracked"  # which PyTorch before 0.4.1 did not save
_MAX_NAME = 60  # characters of a name in a message


@dataclass(frozen=True)
class StateDict:
    """The names and shapes of the tensors in a file; nothing else has been read yet."""

    path: Path
    shapes: dict[str, tuple[int, ...]]
    prefix: str  # of the names in the file

    def read(self) -> dict[str, Tensor]:
        """The tensors on the CPU: float32, and counters of batch norm int64.

        A counter that is not in the file is 0. Raises UserError for other types, and for numbers
        that no training leaves: neither finite in float32, nor positive where they are variances.
        """
        with safe_open(self.path, "pt") as file:
            tensors = {name: file.get_tensor(self.prefix + name) for name in self.shapes}
        result = {}
        for name, tensor in tensors.items():
            counter = name.endswith(_COUNTER)
            if tensor.is_floating_point() == counter or tensor.is_complex():
                raise self.unusable(f"{shown(name)} has the type {tensor.dtype}")
            result[name] = tensor.long() if counter else tensor.float().contiguous()
            if not result[name].isfinite().all():
                raise self.unusable(f"{shown(name)} has numbers that are not finite")
            if name.endswith(".running_var") and (result[name] < 0).any():
                raise self.unusable(f"{shown(name)} has negative variances")
        for name in tensors:
            if name.endswith(".running_mean"):
                counter_name = name.removesuffix(".running_mean") + _COUNTER
                result.setdefault(counter_name, torch.tensor(0))
        return result

    def unusable(self, reason: object) -> UserError:
        """The error to raise for a file that cannot be imported."""
        return UserError(f"{self.path} cannot be imported: {reason}")


def open_state_dict(path: Path) -> StateDict:
    """Read the names and shapes in a safetensors file. Raises UserError for any other file."""
    path = to_path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file of weights")
    if not os.access(path, os.R_OK):
        raise UserError(f"cannot read {path}: permission denied")
    try:
        with safe_open(path, "pt") as file:
            if "dcgan" in (file.metadata() or {}):
                raise UserError(f"{path} is a file of dcgan already, and needs no import")
            names = list(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except (OSError, SafetensorError, ValueError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path} cannot be imported: {describe_foreign_file(path) or error}"
        ) from error
    wrapped = bool(names) and all(name.startswith(_WRAPPER) for name in names)
    prefix = _WRAPPER if wrapped else ""
    return StateDict(path, {k.removeprefix(prefix): v for k, v in shapes.items()}, prefix)


def is_counter(name: str) -> bool:
    """Whether a tensor counts the batches that batch norm has seen, and may be missing."""
    return name.endswith(_COUNTER)


def shown(name: str) -> str:
    """A name in a file as messages show it."""
    text = printable(name)
    return text if len(text) <= _MAX_NAME else text[:_MAX_NAME] + "..."
