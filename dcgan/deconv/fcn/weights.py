"""Weights of networks of others, from safetensors files."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dcgan.deconv.weights import Mismatch, find_mismatch
from dcgan.errors import UserError
from dcgan.runs.foreign_files import describe_foreign_file

_MISMATCHES: dict[Mismatch, str] = {
    "missing": "lack",
    "unknown": "have beside its tensors",
    "other shape": "have in another shape",
}


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, floats as float32.

    Raises UserError for other files and for numbers that are not finite.
    """
    if not path.is_file():
        raise UserError(f"weights {path}: no such file")
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        reason = describe_foreign_file(path) or error
        raise UserError(f"weights {path} are no safetensors file: {reason}") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            if not tensor.isfinite().all():
                raise UserError(f"weights {path}: {name} has numbers that are not finite")
            tensors[name] = tensor.float()
    return tensors


def assign_weights(network: nn.Module, tensors: dict[str, Tensor], path: Path, name: str) -> None:
    """Give a network, which may be on "meta", all its tensors.

    Raises UserError, with the `path` that they are of and the `name` of the network, unless they
    are all that it has, of its shapes.
    """
    if mismatch := find_mismatch(network, tensors):
        kind, names = mismatch
        raise UserError(f"weights {path} do not fit {name}: they {_MISMATCHES[kind]} {names}")
    expected = network.state_dict()
    for key, tensor in tensors.items():
        if tensor.is_floating_point() != expected[key].is_floating_point():
            raise UserError(
                f"weights {path} do not fit {name}: {key} holds {_kind(tensor)}, not "
                f"{_kind(expected[key])}"
            )
    typed = {key: tensor.to(expected[key].dtype) for key, tensor in tensors.items()}
    network.load_state_dict(typed, assign=True)


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
