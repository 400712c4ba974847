"""A single network as a checkpoint file, which is several times smaller than that of a run."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcgan.config import TrainConfig
from dcgan.errors import UserError
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint

GENERATOR_PREFIXES = ("ema.", "labels.")  # of the tensors in the file of a generator
_HEADER = ("step", "config", "data", "labels", "metrics")  # the entries that are kept
_PATHS = {field.name for field in dataclasses.fields(TrainConfig) if "Path" in str(field.type)}


def export_generator(
    path: Path,
    out: Path,
    *,
    half_precision: bool = False,
    weights: Mapping[str, Tensor] | None = None,
    **entries: Any,
) -> None:
    """Write the averaged generator of a checkpoint file or run folder, with its labels and those of
    its options that are no paths, which would tell strangers about the machine.

    `load_generator` and all commands take the file `out`, but a training cannot be resumed from it.
    `half_precision`: store weights in fp16, in half the space; images change by about one of 255.
    `weights`: the state dict to write instead, of a changed generator of the same shape.
    `entries`: further JSON values for the header. Raises UserError if there is no usable
    checkpoint, where `out` is that checkpoint, for weights beyond fp16, or if writing fails.
    """
    _export(path, out, GENERATOR_PREFIXES, half_precision, entries, weights)


def export_discriminator(
    path: Path, out: Path, *, half_precision: bool = False, **entries: Any
) -> None:
    """Write the discriminator of a checkpoint, for `load_discriminator`; see `export_generator`."""
    _export(path, out, ("D.", "labels."), half_precision, entries)


def _export(
    path: Path,
    out: Path,
    prefixes: tuple[str, ...],
    half_precision: bool,
    entries: dict[str, Any],
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    out, found = Path(out), find_checkpoint(path)
    if out.exists() and out.samefile(found.path):
        raise UserError(f"{out} would be replaced by a part of itself: name another file")
    stored = {prefix: found.tensors(prefix) for prefix in prefixes}
    if weights is not None:
        stored[prefixes[0]] = {name: t.cpu().contiguous() for name, t in weights.items()}
    tensors = {
        prefix + name: _in_half_precision(tensor) if half_precision else tensor
        for prefix, group in stored.items()
        for name, tensor in group.items()
    }
    if not any(name.startswith(prefixes[0]) for name in tensors):
        raise UserError(f"{found.path} does not hold the network that is to be exported")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise UserError(f"{found.path} has numbers that are not finite, or not in half precision")
    header = {name: found.header[name] for name in _HEADER if name in found.header}
    header["config"] = {name: v for name, v in found.config.items() if name not in _PATHS}
    checkpoint.save(out, header | entries, tensors)


def _in_half_precision(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.dtype == torch.float32 else tensor
