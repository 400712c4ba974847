"""Networks compared with references in PyTorch's own layers."""

import torch
from torch import Tensor, nn


def count_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def assert_same_function_and_gradients(ours: nn.Module, reference: nn.Module, x: Tensor) -> None:
    """In training and in evaluation mode, for equal weights given in the same order; in float64."""
    ours, reference = ours.double(), reference.double()
    state = dict(zip(reference.state_dict(), ours.state_dict().values(), strict=True))
    reference.load_state_dict(state)
    output, expected = ours(x), reference(x)
    torch.testing.assert_close(output, expected)
    output.square().sum().backward()
    expected.square().sum().backward()
    for p, q in zip(ours.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
    torch.testing.assert_close(ours.eval()(x), reference.eval()(x))
