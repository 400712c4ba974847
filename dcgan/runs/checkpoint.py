"""The file format of checkpoints: one safetensors file, which holds no executable code.

Its metadata have two entries: `dcgan` is the header, a JSON text, and `sha256` a checksum of the
header and of all tensors. The header has at least `format`, `step`, `config` and, for conditional
networks, `labels`; `training/run_state.py` lists the entries of a training run. Networks other than
those of a GAN have a `kind`, one of `COMMANDS`.
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
from torch import Tensor

from dcgan.config import NETWORK_OPTIONS, TrainConfig, validate_network
from dcgan.errors import UsageError, UserError, printable
from dcgan.latent import Labels
from dcgan.runs.foreign_files import describe_foreign_file
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.disk import check_free_space

FORMAT = 3
# Kinds of checkpoints, and a command that reads each.
GAN, DENOISER, SEGMENTER = "a GAN", "a denoising autoencoder", "a segmentation network"
COMMANDS = {GAN: "dcgan sample", DENOISER: "dcgan denoise", SEGMENTER: "dcgan segment"}
# Raised while reading a file that is no checkpoint; RecursionError by deeply nested JSON.
_UNREADABLE = (OSError, SafetensorError, UsageError, ValueError, TypeError, RecursionError)


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint file. Its tensors are read on demand.

    Networks that come with the package or from the Hub are in files of their own, the
    `other_files`. Nothing is to be written beside those files: they are `shared` by all runs.
    """

    path: Path
    header: dict
    other_files: tuple[Path, ...] = ()
    shared: bool = False

    @property
    def step(self) -> int:
        """Training steps done."""
        return self.header["step"]

    @property
    def config(self) -> dict:
        """The `TrainConfig` of the run as plain JSON values."""
        return self.header["config"]

    @cached_property
    def labels(self) -> Labels | None:
        """The labels of conditional networks. Raises UserError if header and tensors contradict."""
        header = self.header.get("labels")
        if header is None:
            return None
        try:
            return Labels.from_checkpoint(header, self.tensors("labels."))
        except ValueError as error:
            raise damaged(self.path, error) from error

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with `prefix`, on the CPU, by the rest of their names.

        They are copies: Windows does not delete a file while it is mapped to memory.
        Raises UserError if the file cannot be read any more.
        """
        tensors: dict[str, Tensor] = {}
        for path in (self.path, *self.other_files):
            try:
                with safe_open(path, "pt") as file:
                    tensors |= {
                        name.removeprefix(prefix): file.get_tensor(name).clone()
                        for name in file.keys()  # noqa: SIM118 (it is not a dict)
                        if name.startswith(prefix)
                    }
            except (OSError, SafetensorError) as error:
                raise damaged(path, error) from error
        return tensors


class OtherKind(UserError):
    """A checkpoint holds networks of another kind than those wanted."""

    def __init__(self, path: Path, found: object, wanted: str):
        command = COMMANDS.get(found) if isinstance(found, str) else None
        advice = f": `{command}` reads it" if command else ""
        super().__init__(f"{path} holds {printable(str(found))[:40]}, not {wanted}{advice}")


def damaged(path: Path, reason: object) -> UserError:
    """The error to raise for a file that is not a usable checkpoint."""
    return UserError(f"{path} is not a usable checkpoint: {reason}")


def save(path: Path, header: dict, tensors: dict[str, Tensor]) -> None:
    """Write a checkpoint atomically: contiguous tensors on the CPU, and a `header` of JSON values.

    Raises UserError if writing fails; the file is then as before.
    """
    write_with_checksum(path, {"format": FORMAT, **header}, tensors)


def write_with_checksum(path: Path, header: dict, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file with the metadata of a checkpoint (above), as `save` does."""
    text = json.dumps(header)
    metadata = {"dcgan": text, "sha256": checksum(text, tensors.items())}
    check_free_space(path, sum(tensor.nbytes for tensor in tensors.values()))
    with replace_atomically(path) as partial:
        try:
            partial.touch()
            mode = partial.stat().st_mode
            save_file(tensors, partial, metadata)
            partial.chmod(mode)  # safetensors writes a temporary file that is private
        except SafetensorError as error:
            raise OSError(str(error)) from error


def checksum(text: str, tensors: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 of the header and of the name, type, shape and bytes of every tensor."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors, key=itemgetter(0)):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read(path: Path, kind: str = GAN) -> Checkpoint:
    """Open a file and verify all of it. Raises UserError unless it is a complete checkpoint.

    Raises OtherKind, a UserError, where it is one of another `kind`, see `COMMANDS`. Only the
    network options of a GAN are checked.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    if not os.access(path, os.R_OK):
        raise UserError(f"cannot read {path}: permission denied")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if "dcgan" not in metadata:
                raise damaged(path, "it is a safetensors file of another program")
            header = json.loads(metadata["dcgan"])
            if header["format"] != FORMAT:
                raise damaged(path, f"it has format {header['format']}, this dcgan reads {FORMAT}")
            if (found := header.get("kind", GAN)) != kind:
                raise OtherKind(path, found, kind)
            _require_plain_values(header["config"])
            if kind == GAN:
                network_options(header["config"])
            require_count("step", header["step"])
            tensors = ((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118
            if checksum(metadata["dcgan"], tensors) != metadata["sha256"]:
                raise damaged(path, "its checksum does not match: the file has changed")
    except KeyError as error:
        raise damaged(path, f"its header lacks {error}") from error
    except _UNREADABLE as error:
        raise damaged(path, describe_foreign_file(path) or error) from error
    return Checkpoint(path, header)


def require_count(name: str, value: object) -> None:
    """Raise ValueError unless a value is an integer of at least 0 that fits 64 bits."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{name} cannot be {value!r}")


def require_number(name: str, value: object) -> None:
    """Raise ValueError unless a value is a float, or an integer that fits 64 bits."""
    if not (type(value) is float or (type(value) is int and abs(value) < 2**63)):
        raise ValueError(f"{name} cannot be {value!r}")


def _require_plain_values(config: object) -> None:
    """Raise TypeError unless these are options: numbers, texts, or lists of them.

    Which options there are differs between versions.
    """
    if not isinstance(config, dict):
        raise TypeError("config is not an object")
    for name, value in config.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, list | dict):
                raise TypeError(f"{name} cannot be {value!r}")


def network_options(config: dict) -> dict:
    """The NETWORK_OPTIONS of a checkpoint's config.

    Raises KeyError for a missing option, TypeError or ValueError for an invalid one.
    """
    options = {name: config[name] for name in NETWORK_OPTIONS}
    for name, value in options.items():
        if type(value) is not type(getattr(TrainConfig, name)):
            raise TypeError(f"{name} cannot be {value!r}")
    validate_network(**options)
    return options
