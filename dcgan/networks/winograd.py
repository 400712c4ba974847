"""Stride-2 convolutions of 4 x 4 kernels, and their transposes, with 9 of 16 multiplications.

In one dimension y[j] = sum over k = 0..3 of x[2j - 1 + k] w[k]. That is the odd samples of x
convolved with the two taps w[0], w[2], plus the even ones convolved with w[1], w[3]. Two
neighbouring outputs of two taps are three products instead of four (Winograd's F(2, 2), "Arithmetic
Complexity of Computations", 1980; for networks: Lavin and Gray 2015, arXiv:1509.09308):

    d0 g0 + d1 g1 = m0 + m1        m0 = (d0 - d1) g0
    d1 g0 + d2 g1 = m1 - m2        m1 = d1 (g0 + g1)
                                   m2 = (d1 - d2) g1

In two dimensions the 3 x 3 products of a tile of 2 x 2 outputs are nine matrix products over
channels and parities. The transforms of input, kernel and output around them are linear, and each
stands beside its adjoint: the transposed convolution is the adjoint of the convolution, and the
gradient of each transform is its adjoint.
"""

import torch
from torch import Tensor

from dcgan.networks.channels_last import to_nchw, to_nhwc
from dcgan.networks.linear_operator import BilinearFunction, LinearOperator, register_operator


def winograd_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`strided_conv2d` of 4 x 4 kernels, for sides divisible by 4."""
    points = LinearOperator.apply(to_nhwc(x), _transform_input, _transform_input_adjoint)
    kernels = LinearOperator.apply(to_nhwc(weight), _transform_kernel, _transform_kernel_adjoint)
    products = _ProductWithTransposed.apply(  # of [3, 3, N, h, w, 2, 2, C] and [3, 3, C', 2, 2, C]
        points.flatten(5).flatten(2, 4).flatten(0, 1), kernels.flatten(3).flatten(0, 1)
    )
    products = products.unflatten(1, points.shape[2:5]).unflatten(0, (3, 3))
    y = LinearOperator.apply(products, _transform_output, _transform_output_adjoint)
    return to_nchw(y if bias is None else y + bias)


def winograd_conv_transpose2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`strided_conv_transpose2d` of 4 x 4 kernels, for even sides."""
    products = LinearOperator.apply(to_nhwc(x), _transform_output_adjoint, _transform_output)
    kernels = LinearOperator.apply(to_nhwc(weight), _transform_kernel, _transform_kernel_adjoint)
    points = torch.bmm(  # of [3, 3, N, h, w, C'] and [3, 3, C', 2, 2, C]
        products.flatten(2, 4).flatten(0, 1), kernels.flatten(3).flatten(0, 1)
    )
    points = points.unflatten(2, kernels.shape[3:]).unflatten(1, products.shape[2:5])
    points = points.unflatten(0, (3, 3))
    y = LinearOperator.apply(points, _transform_input_adjoint, _transform_input)
    return to_nchw(y if bias is None else y + bias)


class _ProductWithTransposed(BilinearFunction):
    """a bᵀ of matrices a [B, M, K] and b [B, N, K].

    `torch.bmm(a, b.mT)` would lay out the gradient of b as that of bᵀ, which is slow to transform.
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> Tensor:
        return torch.bmm(a, b.mT)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        needs_a, needs_b = ctx.needs_input_grad
        return (
            torch.bmm(gradient, b) if needs_a else None,
            torch.bmm(gradient.mT, a) if needs_b else None,
        )

    @staticmethod
    def jvp(ctx, a_tangent: Tensor | None, b_tangent: Tensor | None) -> Tensor:
        a, b = ctx.saved_tensors
        terms = []
        if a_tangent is not None:
            terms.append(torch.bmm(a_tangent, b.mT))
        if b_tangent is not None:
            terms.append(torch.bmm(a, b_tangent.mT))
        return sum(terms[1:], terms[0])


# Input transform: the larger maps [n, 4h, 4w, C] <-> points [3, 3, n, h, w, 2, 2, C], by parity.


@register_operator
def _transform_input(x: Tensor) -> Tensor:
    """d0 - d1, d1 and d1 - d2 of every tile, along rows and columns."""
    n, height, width, c = x.shape
    h, w = height // 4, width // 4
    rows = x.new_empty(3, 2, n, h, width, c)
    _split(x, -3, rows)
    points = x.new_empty(3, 3, n, h, w, 2, 2, c)
    _split(rows, -2, points.permute(1, 6, 0, 5, 2, 3, 4, 7))
    return points


@register_operator
def _transform_input_adjoint(points: Tensor) -> Tensor:
    """Adjoint of `_transform_input`."""
    _, _, n, h, w, _, _, c = points.shape
    rows = points.new_empty(3, 2, n, h, 4 * w, c)
    _join(points.permute(1, 6, 0, 5, 2, 3, 4, 7), -2, rows)
    x = points.new_empty(n, 4 * h, 4 * w, c)
    _join(rows, -3, x)
    return x


def _split(x: Tensor, dim: int, points: Tensor) -> None:
    """Write 4n samples along `dim` of x to points [3, 2 parities (odd first), ... n ...].

    x is padded with zeros.
    """
    x0, x1, x2, x3 = x.unflatten(dim, (-1, 4)).unbind(dim)
    (odd0, even0), (odd1, even1), (odd2, even2) = points
    n = x0.shape[dim]
    torch.neg(x1.narrow(dim, 0, 1), out=odd0.narrow(dim, 0, 1))
    torch.sub(x3.narrow(dim, 0, n - 1), x1.narrow(dim, 1, n - 1), out=odd0.narrow(dim, 1, n - 1))
    torch.sub(x0, x2, out=even0)
    odd1.copy_(x1)
    even1.copy_(x2)
    torch.sub(x1, x3, out=odd2)
    torch.sub(x2.narrow(dim, 0, n - 1), x0.narrow(dim, 1, n - 1), out=even2.narrow(dim, 0, n - 1))
    even2.narrow(dim, n - 1, 1).copy_(x2.narrow(dim, n - 1, 1))


def _join(points: Tensor, dim: int, x: Tensor) -> None:
    """Adjoint of `_split`."""
    x0, x1, x2, x3 = x.unflatten(dim, (-1, 4)).unbind(dim)
    (odd0, even0), (odd1, even1), (odd2, even2) = points
    n = x0.shape[dim]
    torch.sub(odd1, odd0, out=x1).add_(odd2)
    torch.sub(even1, even0, out=x2).add_(even2)
    torch.sub(odd0.narrow(dim, 1, n - 1), odd2.narrow(dim, 0, n - 1), out=x3.narrow(dim, 0, n - 1))
    torch.neg(odd2.narrow(dim, n - 1, 1), out=x3.narrow(dim, n - 1, 1))
    x0.narrow(dim, 0, 1).copy_(even0.narrow(dim, 0, 1))
    torch.sub(
        even0.narrow(dim, 1, n - 1), even2.narrow(dim, 0, n - 1), out=x0.narrow(dim, 1, n - 1)
    )


# Output transform: products [3, 3, n, h, w, C'] <-> the smaller maps [n, 2h, 2w, C'].


@register_operator
def _transform_output_adjoint(y: Tensor) -> Tensor:
    """Adjoint of `_transform_output`."""
    n, height, width, c = y.shape
    h, w = height // 2, width // 2
    top, bottom = y.view(n, h, 2, width, c).unbind(2)
    rows = y.new_empty(3, n, h, width, c)
    rows[0].copy_(top)
    torch.add(top, bottom, out=rows[1])
    torch.neg(bottom, out=rows[2])
    left, right = rows.view(3, n, h, w, 2, c).unbind(4)
    products = y.new_empty(3, 3, n, h, w, c)
    products[:, 0].copy_(left)
    torch.add(left, right, out=products[:, 1])
    torch.neg(right, out=products[:, 2])
    return products


@register_operator
def _transform_output(products: Tensor) -> Tensor:
    """m0 + m1 and m1 - m2 of every tile, along rows and columns."""
    _, _, n, h, w, c = products.shape
    rows = products.new_empty(3, n, h, w, 2, c)
    torch.add(products[:, 0], products[:, 1], out=rows[..., 0, :])
    torch.sub(products[:, 1], products[:, 2], out=rows[..., 1, :])
    y = products.new_empty(n, 2 * h, 2 * w, c)
    top, bottom = y.view(n, h, 2, w, 2, c).unbind(2)
    torch.add(rows[0], rows[1], out=top)
    torch.sub(rows[1], rows[2], out=bottom)
    return y


# Kernel transform: kernels [C', 4, 4, C] <-> g0, g0 + g1, g1 of both parities [3, 3, C', 2, 2, C].


@register_operator
def _transform_kernel(kernels: Tensor) -> Tensor:
    """g0, g0 + g1 and g1 of every kernel, along rows and columns."""
    k, _, _, c = kernels.shape
    first, last = kernels.reshape(k, 2, 2, 2, 2, c).unbind(1)
    rows = kernels.new_empty(3, k, 2, 2, 2, c)
    rows[0].copy_(first)
    torch.add(first, last, out=rows[1])
    rows[2].copy_(last)
    first, last = rows.unbind(3)
    points = kernels.new_empty(3, 3, k, 2, 2, c)
    points[:, 0].copy_(first)
    torch.add(first, last, out=points[:, 1])
    points[:, 2].copy_(last)
    return points


@register_operator
def _transform_kernel_adjoint(points: Tensor) -> Tensor:
    """Adjoint of `_transform_kernel`."""
    _, _, k, _, _, c = points.shape
    rows = points.new_empty(3, k, 2, 2, 2, c)
    torch.add(points[:, 0], points[:, 1], out=rows[:, :, :, 0])
    torch.add(points[:, 1], points[:, 2], out=rows[:, :, :, 1])
    kernels = points.new_empty(k, 4, 4, c)
    first, last = kernels.view(k, 2, 2, 2, 2, c).unbind(1)
    torch.add(rows[0], rows[1], out=first)
    torch.add(rows[1], rows[2], out=last)
    return kernels
