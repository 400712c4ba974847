"""Linear maps that autograd need not look into, since each comes with its adjoint."""

from collections.abc import Callable

import torch
from torch import Tensor


class Linear(torch.autograd.Function):
    """A linear map, whose gradient is its adjoint, whose gradient is the map again."""

    @staticmethod
    def forward(x: Tensor, linear, adjoint) -> Tensor:
        return linear(x)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        _, ctx.linear, ctx.adjoint = inputs

    @staticmethod
    def jvp(ctx, tangent: Tensor, *_) -> Tensor:
        return Linear.apply(tangent, ctx.linear, ctx.adjoint)

    @staticmethod
    def vmap(info, dims, x: Tensor, linear, adjoint) -> tuple[Tensor, int]:
        return torch.stack([Linear.apply(one, linear, adjoint) for one in x.unbind(dims[0])]), 0

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return Linear.apply(gradient, ctx.adjoint, ctx.linear), None, None


LIBRARY = torch.library.Library("dcgan", "DEF")


def operator(linear: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The map as an operator of torch, which torch can loop over a batch (`is_grads_batched`)."""
    LIBRARY.define(f"{linear.__name__}(Tensor x) -> Tensor")
    LIBRARY.impl(linear.__name__, linear, "CompositeExplicitAutograd")
    return getattr(torch.ops.dcgan, linear.__name__).default
