"""Small files of tensors beside checkpoints, such as a classifier or directions.

One safetensors file each. Its metadata have two entries, as those of a checkpoint: `dcgan` is the
header, a JSON text with at least `format` and `kind`, and `sha256` a checksum of the header and of
all tensors.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dcgan.config.hub_names import parse_hub_name
from dcgan.config.validation import to_path
from dcgan.errors import UsageError, UserError, printable
from dcgan.hub import fetch_networks
from dcgan.runs.checkpoint import checksum, write_with_checksum
from dcgan.runs.foreign_files import describe_foreign_file

FORMAT = 1
_MAX_BYTES = 2**28  # of a file that is read; a classifier has 2**20
# Raised while reading a file of another kind; RuntimeError for numbers of odd types, and its
# RecursionError by deeply nested JSON.
_UNREADABLE = (
    *(OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError, RuntimeError),
)


@dataclass(frozen=True)
class TensorFile:
    """A verified file: its header and its tensors, on the CPU; halves are read as float32."""

    path: Path
    header: dict[str, Any]
    tensors: dict[str, Tensor]

    def unusable(self, reason: object) -> UserError:
        """The error to raise where header and tensors contradict each other."""
        return _unusable(self.path, self.header["kind"], reason)


def save_tensors(path: Path, kind: str, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write tensors and a header of JSON values atomically. Raises UserError if writing fails."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_with_checksum(to_path(path), {"format": FORMAT, "kind": kind, **header}, tensors)


def read_tensors(path: Path, kind: str) -> TensorFile:
    """Read a file and verify all of it. Raises UserError unless it is a complete file of that kind
    whose numbers are finite. One on the Hub is named hf://user/name/FILE.safetensors.
    """
    path = to_path(path)
    if name := parse_hub_name(path):
        if name.file is None:
            raise UsageError(f"{name}: name the file of {kind}: {name}/FILE.safetensors")
        (path,) = fetch_networks(name)
    if not path.is_file():
        raise UserError(f"{path}: no such file of {kind}")
    if not os.access(path, os.R_OK):
        raise UserError(f"cannot read {path}: permission denied")
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _unusable(path, kind, f"it has more than {_MAX_BYTES:,} bytes")
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if "dcgan" not in metadata:
                raise _unusable(path, kind, "it is a safetensors file of another program")
            header = json.loads(metadata["dcgan"])
            if header.get("kind") != kind:
                found = header.get("kind", "a checkpoint" if "step" in header else "another kind")
                raise _unusable(path, kind, f"it holds {printable(str(found))[:40]}")
            if header["format"] != FORMAT:
                raise _unusable(path, kind, f"it is of another format than {FORMAT}")
            names = list(file.keys())
            tensors = {name: file.get_tensor(name).clone() for name in names}
        if checksum(metadata["dcgan"], tensors.items()) != metadata["sha256"]:
            raise _unusable(path, kind, "its checksum does not match: the file has changed")
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise _unusable(path, kind, "it has numbers that are not finite")
    except _UNREADABLE as error:
        raise _unusable(path, kind, describe_foreign_file(path) or error) from error
    halves = torch.float16
    tensors = {name: t.float() if t.dtype == halves else t for name, t in tensors.items()}
    return TensorFile(path, header, tensors)


def check_not_replacing(path: Path, kind: str) -> None:
    """Raise UserError where a file is there already that is not one of that kind."""
    if path.exists():
        try:
            read_tensors(path, kind)
        except UserError as error:
            raise UserError(
                f"{path} would be replaced, and holds no {kind}: name another --out"
            ) from error


def _unusable(path: Path, kind: str, reason: object) -> UserError:
    return UserError(f"{path} is not a usable file of {kind}: {reason}")
