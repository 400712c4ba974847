"""Evaluation mode for a while, of any network."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """In the block, the network is in evaluation mode and collects no gradients of parameters."""
    modes = [(module, module.training) for module in network.modules()]
    parameters = [p for p in network.parameters() if p.requires_grad]
    try:
        network.eval()
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
        for module, training in modes:
            module.training = training
