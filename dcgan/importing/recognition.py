"""Which network of PyTorch's DCGAN example a file holds, by the names and shapes of its tensors."""

import dataclasses
import re
from typing import Any, NamedTuple

import torch

from dcgan.config import PRESETS
from dcgan.errors import UsageError, UserError
from dcgan.export.pytorch_names import example_names
from dcgan.importing.state_dict import StateDict, is_counter, shown
from dcgan.networks import Discriminator, Generator, build_networks
from dcgan.networks.layers import BASE_SIZE

_OF_EXAMPLE = "PyTorch's DCGAN example"
# How names begin in the networks of other programs.
_OTHERS = {
    "mimicry": r"block\d+\.[bc]",
    "StudioGAN": r"(linear0\.|blocks\.\d+\.\d+\.)",
    "torchgan": r"(model\.\d+\.\d+\.|disc\.\d+\.)",
    "StyleGAN": r"(mapping\.fc\d+\.|synthesis\.b\d+\.|b\d+\.(conv|fromrgb|skip|fc))",
}
_MAX_HALVINGS = 20  # of which a size is computed, for the message that it is too large


class Recognized(NamedTuple):
    """A network of the example."""

    kind: type[Generator | Discriminator]
    options: dict[str, Any]  # size, width, channels and, of a generator, latent_dim
    names: dict[str, str]  # of its tensors here, and in the file


def recognize(file: StateDict) -> Recognized:
    """The network in a file. Raises UserError, in words for its user, for any other network."""
    shapes = file.shapes
    kernels = sorted(
        (int(match[1]), shape)
        for name, shape in shapes.items()
        if (match := re.fullmatch(r"main\.(\d{1,4})\.weight", name)) and len(shape) == 4
    )
    if not kernels or kernels[0][0] != 0 or kernels[-1][0] == 0:
        raise _other_network(file)
    (_, first), (index, last) = kernels[0], kernels[-1]
    options: dict[str, Any]
    if "main.1.weight" in shapes:  # batch norm follows the first layer of G, and not that of D
        part, halvings = 0, index // 3
        options = {"width": last[0], "channels": last[1], "latent_dim": first[0]}
    else:
        part, halvings = 1, index // 3 + 1
        options = {"width": first[0], "channels": first[1]}
    options["size"] = BASE_SIZE * 2 ** min(halvings, _MAX_HALVINGS)
    try:
        config = dataclasses.replace(PRESETS["pytorch-example"], **options)
    except UsageError as error:
        raise file.unusable(error) from error
    with torch.device("meta"):
        network = build_networks(config)[part]
    names = example_names(network)
    expected = {names[name]: tuple(t.shape) for name, t in network.state_dict().items()}
    pixels = f"{config.size}x{config.size} pixels"
    _check_shapes(file, expected, f"a network for {pixels} with --width {config.width}")
    return Recognized(type(network), options, names)


def _check_shapes(file: StateDict, expected: dict[str, tuple[int, ...]], network: str) -> None:
    """Raise UserError unless the tensors in a file are those of a network."""
    for name in file.shapes:
        if name not in expected:
            raise file.unusable(f"{_OF_EXAMPLE} has no {shown(name)}")
    for name, shape in expected.items():
        found = file.shapes.get(name)
        if found is None and not is_counter(name):
            raise file.unusable(f"it lacks {name}, which {_OF_EXAMPLE} has")
        if found is not None and found != shape:
            raise file.unusable(
                f"its {name} is {_format_shape(found)}, and {_format_shape(shape)} in {network}, "
                f"whose layers have at most 8 times as many channels"
            )


def _other_network(file: StateDict) -> UserError:
    """The error to raise for a file without the names of the example."""
    if not file.shapes:
        return file.unusable("it holds no tensors")
    for program, pattern in _OTHERS.items():
        if found := next((name for name in file.shapes if re.match(pattern, name)), None):
            return file.unusable(
                f"its {shown(found)} is of a network of {program}, which is another than that of "
                f"{_OF_EXAMPLE}; train one here, see docs/moving.md"
            )
    return file.unusable(
        f"it is no network of {_OF_EXAMPLE}, whose tensors are named main.0.weight and so on; "
        f"the first one here is {shown(min(file.shapes))}"
    )


def _format_shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"
