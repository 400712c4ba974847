"""Whether the weights in a file are those of a network."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

Mismatch = Literal["missing", "unknown", "other shape"]
_MAX_NAMES = 3  # in a message


def find_mismatch(network: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[Mismatch, str] | None:
    """How tensors differ from those of a network, which may be on "meta", and the first names; None
    where they are all that it has, of its shapes.
    """
    expected = network.state_dict()
    shared = tensors.keys() & expected.keys()
    differences: dict[Mismatch, list[str]] = {
        "missing": sorted(expected.keys() - tensors.keys()),
        "unknown": sorted(tensors.keys() - expected.keys()),
        "other shape": sorted(
            name for name in shared if tensors[name].shape != expected[name].shape
        ),
    }
    for kind, names in differences.items():
        if names:
            more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
            return kind, f"{', '.join(names[:_MAX_NAMES])}{more}"
    return None
