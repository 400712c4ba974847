"""Networks from the options of a configuration."""

import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from dcgan.config import NETWORK_OPTIONS, TrainConfig
from dcgan.networks.discriminator import Discriminator
from dcgan.networks.generator import Generator

_Network = TypeVar("_Network", Generator, Discriminator)


def build_networks(
    config: TrainConfig, num_labels: int = 0, label_variance: float = 1.0
) -> tuple[Generator, Discriminator]:
    """G and D as a configuration describes them, conditional on `num_labels` labels.

    `label_variance`: see `Generator`.
    """
    options = {name: getattr(config, name) for name in NETWORK_OPTIONS}
    options["label_variance"] = label_variance
    G = build_network(Generator, options, num_labels)
    return G, build_network(Discriminator, options, num_labels)


def build_network(
    kind: type[_Network], options: Mapping[str, Any], num_labels: int = 0
) -> _Network:
    """A `Generator` or `Discriminator` from those of the options that its constructor takes."""
    parameters = inspect.signature(kind).parameters
    known = {name: value for name, value in options.items() if name in parameters}
    return kind(**known, num_labels=num_labels)
