"""Weights of networks of others, from safetensors files."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dcgan.errors import UserError
from dcgan.runs.foreign_files import describe_foreign_file

_MAX_NAMES = 3  # in a message


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
    expected = network.state_dict()
    shared = tensors.keys() & expected.keys()
    problems = {
        "lack": sorted(expected.keys() - tensors.keys()),
        "have beside its tensors": sorted(tensors.keys() - expected.keys()),
        "have in another shape": sorted(
            key for key in shared if tensors[key].shape != expected[key].shape
        ),
    }
    for problem, names in problems.items():
        if names:
            more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
            listed = ", ".join(names[:_MAX_NAMES])
            raise UserError(f"weights {path} do not fit {name}: they {problem} {listed}{more}")
    typed = {key: tensor.to(expected[key].dtype) for key, tensor in tensors.items()}
    network.load_state_dict(typed, assign=True)
