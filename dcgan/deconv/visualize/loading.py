"""The network to look into: of a checkpoint, or of the user's own code."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dcgan.config import VisualizeConfig
from dcgan.config.hub_names import format_checkpoint
from dcgan.deconv.untrained import build_discriminator
from dcgan.deconv.visualize.tracing import format_shape, is_convolution
from dcgan.deconv.visualize.user_networks import call_function, load_weights, randomize
from dcgan.errors import UsageError, UserError
from dcgan.networks import Discriminator
from dcgan.networks.layers import BASE_SIZE
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.loading import discriminator_in
from dcgan.runtime.device import select_device

_DEFAULT_SIZE = 64


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
        D = build_discriminator(found).to(device).requires_grad_(False).eval()
    else:
        D = discriminator_in(found, device)
    size = BASE_SIZE << len(D.blocks)
    first = next(module for module in D.modules() if is_convolution(module))
    shape = (_channels_read(first), size, size)
    name = f"D of {format_checkpoint(config.checkpoint)}"
    if data_shape is not None and data_shape != shape:
        raise UserError(
            f"--data {config.data} has images of {format_shape(data_shape)}, and {name} takes "
            f"{format_shape(shape)}"
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
    network = call_function(config.network)
    if config.weights is not None:
        load_weights(network, config.weights, config.network)
    if config.random:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            randomize(network)
    size = config.size or _DEFAULT_SIZE
    shape = data_shape or (_input_channels(network), size, size)
    network = network.to(device)
    return Subject(network, network, _named(config.network, config), shape)


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
