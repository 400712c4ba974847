"""Linear operators that autograd differentiates by their adjoints, whatever they do inside."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_Function = Callable[[Tensor], Tensor]


class LinearOperator(torch.autograd.Function):
    """A linear function of a tensor, given with its adjoint.

    `LinearOperator.apply(x, function, adjoint)` is `function(x)`. Its gradient is the adjoint, and
    the gradient of that is the function again, so derivatives of any order exist.
    """

    @staticmethod
    def forward(x: Tensor, function: _Function, adjoint: _Function) -> Tensor:
        return function(x)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        _, ctx.function, ctx.adjoint = inputs

    @staticmethod
    def jvp(ctx, tangent: Tensor, *_) -> Tensor:
        return LinearOperator.apply(tangent, ctx.function, ctx.adjoint)

    @staticmethod
    def vmap(info, dims, x: Tensor, function, adjoint) -> tuple[Tensor, int]:
        results = [LinearOperator.apply(one, function, adjoint) for one in x.unbind(dims[0])]
        return torch.stack(results), 0

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return LinearOperator.apply(gradient, ctx.adjoint, ctx.function), None, None


_LIBRARY = torch.library.Library("dcgan", "DEF")


def register_operator(function: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    """Register a function of one tensor as a PyTorch operator, named after it, and return that.

    vmap can run a registered operator over a batch of gradients (`is_grads_batched`).
    """
    _LIBRARY.define(f"{function.__name__}(Tensor x) -> Tensor")
    _LIBRARY.impl(function.__name__, function, "CompositeExplicitAutograd")
    return getattr(torch.ops.dcgan, function.__name__).default
