"""The network to look into: of a checkpoint, or of the user's own code."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from dcgan.config import VisualizeConfig
from dcgan.deconv.visualize.tracing import is_convolution
from dcgan.errors import UsageError, UserError
from dcgan.networks import Discriminator, build_network
from dcgan.networks.layers import BASE_SIZE
from dcgan.runs import load_discriminator
from dcgan.runs.checkpoint import network_options
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.foreign_files import describe_foreign_file
from dcgan.runtime.device import select_device
from dcgan.runtime.importing import import_module

_DEFAULT_SIZE = 64
_MAX_NAMES = 3  # of tensors, in a message


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, on its device: how to call it, its name in texts, the shape [C, H, W] of its
    images, and the training steps behind it.
    """

    network: nn.Module
    forward: Callable[[Tensor], object]
    name: str
    image_shape: tuple[int, int, int]
    step: int = 0


def load_subject(
    config: VisualizeConfig, data_shape: tuple[int, int, int] | None = None
) -> Subject:
    """D of the checkpoint, or the network that `--network` names.

    data_shape: [C, H, W] of the images that it is going to get. Raises UserError where they do not
    fit D, and for any error in the user's code.
    """
    device = select_device(config.device)
    if config.network is not None:
        return _load_user_network(config, data_shape, device)
    found = find_checkpoint(config.checkpoint)
    if config.random:
        num_labels = len(found.labels.names) if found.labels else 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            D = build_network(Discriminator, network_options(found.config), num_labels)
        D = D.to(device).requires_grad_(False).eval()
    else:
        D = load_discriminator(config.checkpoint, device)
    size = BASE_SIZE << len(D.blocks)
    first = next(module for module in D.modules() if is_convolution(module))
    shape = (_channels_read(first), size, size)
    name = f"D of {config.checkpoint}"
    if data_shape not in (None, shape):
        raise UserError(
            f"--data {config.data} has images of {_by(data_shape)}, and {name} takes {_by(shape)}"
        )
    return Subject(D, discriminator_forward(D), _named(name, config), shape, found.step)


def discriminator_forward(D: Discriminator) -> Callable[[Tensor], Tensor]:
    """D as a function of images alone, each for itself.

    A conditional D gets labels of 0, and `minibatch_std` is computed over single images. (With
    batch norm too it is computed over all: D then has no way to separate them.)
    """
    num_labels = 0 if D.embed is None else D.embed.in_features
    separate = D.minibatch_std is not None and not D.has_batch_norm

    def forward(x: Tensor) -> Tensor:
        labels = x.new_zeros(len(x), num_labels) if num_labels else None
        return D(x, labels, batches=len(x) if separate else 1)

    return forward


def _load_user_network(
    config: VisualizeConfig, data_shape: tuple[int, int, int] | None, device: torch.device
) -> Subject:
    assert config.network is not None
    if data_shape is not None and config.size not in (None, data_shape[1]):
        raise UsageError(f"--size {config.size}: the images of --data have {data_shape[1]} pixels")
    network = _call(config.network)
    if config.weights is not None:
        _load_weights(network, config.weights, config.network)
    if config.random:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            randomize(network)
    size = config.size or _DEFAULT_SIZE
    shape = data_shape or (_input_channels(network), size, size)
    network = network.to(device)
    return Subject(network, network, _named(config.network, config), shape)


def _call(name: str) -> nn.Module:
    """The network that "module:function" returns; its random numbers are the same every time.

    The current folder stays, so that the paths of other options mean the same after it.
    """
    module, _, attribute = name.partition(":")
    folder = os.getcwd()
    try:
        with ExitStack() as stack, torch.random.fork_rng(devices=[]):
            found = getattr(import_module(module, stack), attribute)
            torch.manual_seed(0)
            network = found if isinstance(found, nn.Module) else found()
    except (Exception, SystemExit) as error:  # a user's code can raise anything
        raise UserError(f"--network {name}: {type(error).__name__}: {error}") from error
    finally:
        os.chdir(folder)
    if not isinstance(network, nn.Module):
        raise UserError(f"--network {name} returns a {type(network).__name__}, no torch.nn.Module")
    if any(is_lazy(tensor) or tensor.is_meta for tensor in network.state_dict().values()):
        raise UserError(
            f"--network {name} returns a network whose parameters have no values yet (lazy, or on "
            f"the device meta): initialise them in the function"
        )
    return network


def _load_weights(network: nn.Module, path: Path, name: str) -> None:
    """Read weights into a network. Raises UserError unless all of both fit each other."""
    if not path.is_file():
        raise UserError(f"--weights {path}: no such file")
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        reason = describe_foreign_file(path) or f"it is no valid safetensors file: {error}"
        raise UserError(f"--weights {path}: {reason}") from error
    expected = network.state_dict()
    shared = tensors.keys() & expected.keys()
    problems = {
        "lacks": sorted(expected.keys() - tensors.keys()),
        "has the unknown": sorted(tensors.keys() - expected.keys()),
        "has other shapes of": sorted(
            key for key in shared if tensors[key].shape != expected[key].shape
        ),
    }
    for problem, names in problems.items():
        if names:
            more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
            raise UserError(
                f"--weights {path} does not fit --network {name}: it {problem} "
                f"{', '.join(names[:_MAX_NAMES])}{more}"
            )
    network.load_state_dict(tensors)


def randomize(network: nn.Module) -> None:
    """Initialise all layers of a network anew by their `reset_parameters`, in place.

    Raises UserError for a module with parameters that has no such method.
    """
    for name, module in network.named_modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
        elif any(True for _ in module.parameters(recurse=False)):
            raise UserError(
                f"--random: the module {name or type(module).__name__} has parameters and no "
                f"method reset_parameters()"
            )


def _input_channels(network: nn.Module) -> int:
    """1 where the first convolution reads grey images, else 3."""
    first = next((module for module in network.modules() if is_convolution(module)), None)
    return 1 if first is not None and _channels_read(first) == 1 else 3


def _channels_read(convolution: nn.Module) -> int:
    """The channels that a convolution reads, of a group."""
    weight = convolution.weight
    assert isinstance(weight, Tensor)
    return weight.shape[1]


def _named(name: str, config: VisualizeConfig) -> str:
    return f"{name} with random weights" if config.random else name


def _by(shape: tuple[int, ...] | None) -> str:
    return "x".join(map(str, shape or ()))
