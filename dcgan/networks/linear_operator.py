"""Linear operators that autograd differentiates by their adjoints, whatever they do inside, and
what bilinear ones share.
"""

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


class BilinearFunction(torch.autograd.Function):
    """A function whose derivatives need all of its inputs, which are tensors or None."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)


_LIBRARY = torch.library.Library("dcgan", "DEF")


def register_operator(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Register a function of tensors as a PyTorch operator, named after it, and return that.

    vmap can run a registered operator over a batch, one after another.
    """
    name = f"dcgan::{function.__name__}"
    _LIBRARY.define(function.__name__ + torch.library.infer_schema(function, mutates_args=()))
    _LIBRARY.impl(function.__name__, function, "CompositeExplicitAutograd")
    operator = getattr(torch.ops.dcgan, function.__name__).default

    def run_over_batch(info, dims: tuple[int | None, ...], *tensors: Tensor) -> tuple[Tensor, int]:
        parts = [
            [tensor] * info.batch_size if dim is None else tensor.unbind(dim)
            for tensor, dim in zip(tensors, dims, strict=True)
        ]
        return torch.stack([operator(*of_one) for of_one in zip(*parts, strict=True)]), 0

    torch.library.register_vmap(name, run_over_batch, lib=_LIBRARY)
    return operator
