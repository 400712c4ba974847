"""The tensors of another program, from a safetensors file that is not trusted."""

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
# Types of safetensors. Training leaves no others, and torch does not compute with all of them.
_WEIGHTS, _COUNTERS = ("F16", "BF16", "F32", "F64"), ("I32", "I64")
_MAX_NAME = 60  # characters of a name in a message


@dataclass(frozen=True)
class StateDict:
    """The names, shapes and types of the tensors in a file; nothing else has been read yet."""

    path: Path
    shapes: dict[str, tuple[int, ...]]
    types: dict[str, str]  # as safetensors names them
    prefix: str  # of the names in the file

    def read(self) -> dict[str, Tensor]:
        """The tensors on the CPU: float32, and counters of batch norm int64.

        A counter that is not in the file is 0. Raises UserError for other types, and for numbers
        that no training leaves: neither finite in float32, nor positive where they are variances.
        """
        for name, found in self.types.items():
            if found not in (_COUNTERS if is_counter(name) else _WEIGHTS):
                raise self.unusable(f"{shown(name)} has the type {found}")
        result = {}
        for name, tensor in self._tensors().items():
            result[name] = tensor.long() if is_counter(name) else tensor.float().contiguous()
            if not result[name].isfinite().all():
                raise self.unusable(f"{shown(name)} has numbers that are not finite")
            if name.endswith(".running_var") and (result[name] < 0).any():
                raise self.unusable(f"{shown(name)} has negative variances")
        for name in self.shapes:
            if name.endswith(".running_mean"):
                counter_name = name.removesuffix(".running_mean") + _COUNTER
                result.setdefault(counter_name, torch.tensor(0))
        return result

    def _tensors(self) -> dict[str, Tensor]:
        try:
            with safe_open(self.path, "pt") as file:
                # Copies, since the file stays mapped to memory otherwise.
                return {k: file.get_tensor(self.prefix + k).clone() for k in self.shapes}
        except (OSError, SafetensorError) as error:
            raise self.unusable(error) from error

    def unusable(self, reason: object) -> UserError:
        """The error to raise for a file that cannot be imported."""
        return UserError(f"{self.path} cannot be imported: {reason}")


def open_state_dict(path: Path) -> StateDict:
    """Read what a safetensors file says of its tensors. Raises UserError for any other file."""
    path = to_path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file of weights")
    if not os.access(path, os.R_OK):
        raise UserError(f"cannot read {path}: permission denied")
    try:
        with safe_open(path, "pt") as file:
            if "dcgan" in (file.metadata() or {}):
                raise UserError(f"{path} is a file of dcgan already, and needs no import")
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
            types = {name: part.get_dtype() for name, part in slices.items()}
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(
            f"{path} cannot be imported: {describe_foreign_file(path) or error}"
        ) from error
    wrapped = bool(shapes) and all(name.startswith(_WRAPPER) for name in shapes)
    prefix = _WRAPPER if wrapped else ""
    return StateDict(
        path,
        {name.removeprefix(prefix): shape for name, shape in shapes.items()},
        {name.removeprefix(prefix): kind for name, kind in types.items()},
        prefix,
    )


def is_counter(name: str) -> bool:
    """Whether a tensor counts the batches that batch norm has seen, and may be missing."""
    return name.endswith(_COUNTER)


def shown(name: str) -> str:
    """A name in a file as messages show it."""
    text = printable(name)
    return text if len(text) <= _MAX_NAME else text[:_MAX_NAME] + "..."
