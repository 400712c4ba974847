"""Stride-2 convolutions of 4 x 4 kernels, differentiated by each other, by the fastest operators.

The convolution y of x and w, its transpose x of y and w, and the gradient w of x and y are bilinear
maps whose derivatives are the other two. So each may be computed by operators of its own: those of
`matrix_product`, or PyTorch's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.networks.linear_operator import BilinearFunction
from dcgan.networks.matrix_product import (
    columns_of,
    convolution,
    transpose,
    weight_gradient,
    weight_gradient_in_parts,
)


def product_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`strided_conv2d` of 4 x 4 kernels, for even sides."""
    return _Convolution.apply(x, weight, bias, _constant_columns(x))


def product_conv_transpose2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`strided_conv_transpose2d` of 4 x 4 kernels."""
    return _Transpose.apply(x, weight, bias, True)


def mixed_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`product_conv2d` with PyTorch's operators, but for the gradient of the weights.

    There oneDNN's threads wait for each other in a loop that never sleeps: if one of them shares
    its CPU with another process, a gradient of 1 ms takes 130.
    """
    return _Convolution.apply(x, weight, bias, None)


def mixed_conv_transpose2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The transpose of `mixed_conv2d`."""
    return _Transpose.apply(x, weight, bias, False)


class _Convolution(BilinearFunction):
    """y of x, w and a bias, computed from the columns of x, or by PyTorch's operator without."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, columns: Tensor | None) -> Tensor:
        if columns is None:
            return F.conv2d(x, weight, bias, stride=2, padding=1)
        return convolution(columns, weight, bias)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, _, columns = ctx.saved_tensors
        needs_x, needs_weight, needs_bias, _ = ctx.needs_input_grad
        return (
            _Transpose.apply(gradient, weight, None, columns is not None) if needs_x else None,
            _WeightGradient.apply(x, gradient, columns) if needs_weight else None,
            gradient.sum((0, 2, 3)) if needs_bias else None,
            None,
        )

    @staticmethod
    def jvp(ctx, x_tangent, weight_tangent, bias_tangent, _) -> Tensor:
        x, weight, _, columns = ctx.saved_tensors
        n, _, h, w = x.shape
        terms = []
        if x_tangent is not None:
            of_tangent = None if columns is None else _constant_columns(x_tangent)
            terms.append(_Convolution.apply(x_tangent, weight, None, of_tangent))
        if weight_tangent is not None:
            terms.append(_Convolution.apply(x, weight_tangent, None, columns))
        if bias_tangent is not None:
            terms.append(bias_tangent[:, None, None].expand(n, -1, h // 2, w // 2))
        return sum(terms[1:], terms[0])


class _Transpose(BilinearFunction):
    """x of y, w and a bias, computed by products or by PyTorch's operator."""

    @staticmethod
    def forward(y: Tensor, weight: Tensor, bias: Tensor | None, by_products: bool) -> Tensor:
        if by_products:
            return transpose(y, weight, bias)
        return F.conv_transpose2d(y, weight, bias, stride=2, padding=1)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        *tensors, ctx.by_products = inputs
        BilinearFunction.setup_context(ctx, tensors, output)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        y, weight, _ = ctx.saved_tensors
        needs_y, needs_weight, needs_bias, _ = ctx.needs_input_grad
        columns = _constant_columns(gradient) if ctx.by_products else None
        return (
            _Convolution.apply(gradient, weight, None, columns) if needs_y else None,
            _WeightGradient.apply(gradient, y, columns) if needs_weight else None,
            gradient.sum((0, 2, 3)) if needs_bias else None,
            None,
        )

    @staticmethod
    def jvp(ctx, y_tangent, weight_tangent, bias_tangent, _) -> Tensor:
        y, weight, _ = ctx.saved_tensors
        n, _, h, w = y.shape
        terms = []
        if y_tangent is not None:
            terms.append(_Transpose.apply(y_tangent, weight, None, ctx.by_products))
        if weight_tangent is not None:
            terms.append(_Transpose.apply(y, weight_tangent, None, ctx.by_products))
        if bias_tangent is not None:
            terms.append(bias_tangent[:, None, None].expand(n, -1, 2 * h, 2 * w))
        return sum(terms[1:], terms[0])


class _WeightGradient(BilinearFunction):
    """w of x and y, computed from the columns of x, which are made on the way if they are None."""

    @staticmethod
    def forward(x: Tensor, y: Tensor, columns: Tensor | None) -> Tensor:
        if columns is None:
            return weight_gradient_in_parts(x, y)
        return weight_gradient(columns, y)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y, columns = ctx.saved_tensors
        needs_x, needs_y, _ = ctx.needs_input_grad
        return (
            _Transpose.apply(y, gradient, None, columns is not None) if needs_x else None,
            _Convolution.apply(x, gradient, None, columns) if needs_y else None,
            None,
        )

    @staticmethod
    def jvp(ctx, x_tangent, y_tangent, _) -> Tensor:
        x, y, columns = ctx.saved_tensors
        terms = []
        if x_tangent is not None:
            of_tangent = None if columns is None else _constant_columns(x_tangent)
            terms.append(_WeightGradient.apply(x_tangent, y, of_tangent))
        if y_tangent is not None:
            terms.append(_WeightGradient.apply(x, y_tangent, columns))
        return sum(terms[1:], terms[0])


def _constant_columns(x: Tensor) -> Tensor:
    """The columns of x, for functions that return derivatives with respect to x itself."""
    with torch.no_grad():
        return columns_of(x)
