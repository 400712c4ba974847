"""Stride-2 convolutions of 4 x 4 kernels, and their transposes, as matrix products.

im2col copies the 4 x 4 window of every output position into a row of a matrix of "columns"
(Chellapilla et al. 2006, "High Performance Convolutional Neural Networks for Document Processing").
With x [N, C, H, W], weights w [C', C, 4, 4] and y [N, C', H/2, W/2],

    convolution      y = columns(x) wᵀ
    its transpose    x = pixel_shuffle(windows(y) taps(w))
    gradient of w    w = yᵀ columns(x)

are one bilinear map each, and the derivatives of any of them are the other two. The transpose is a
sub-pixel convolution (Shi et al. 2016, arXiv:1609.07009), so that a product adds up all that is
added to one number: bf16 products do that in float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.networks.channels_last import to_nchw, to_nhwc
from dcgan.networks.linear_operator import register_operator

_MAX_COLUMNS = 2**23  # numbers of a part


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


class _Bilinear(torch.autograd.Function):
    """What the three functions share: all of their inputs are needed for the derivatives."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)


class _Convolution(_Bilinear):
    """y of x, w and a bias, computed from the columns of x, or by PyTorch's operator without."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, columns: Tensor | None) -> Tensor:
        if columns is None:
            return F.conv2d(x, weight, bias, stride=2, padding=1)
        return _convolution(columns, weight, bias)

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


class _Transpose(_Bilinear):
    """x of y, w and a bias, computed by products or by PyTorch's operator."""

    @staticmethod
    def forward(y: Tensor, weight: Tensor, bias: Tensor | None, by_products: bool) -> Tensor:
        if by_products:
            return _transpose(y, weight, bias)
        return F.conv_transpose2d(y, weight, bias, stride=2, padding=1)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        *tensors, ctx.by_products = inputs
        _Bilinear.setup_context(ctx, tensors, output)

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


class _WeightGradient(_Bilinear):
    """w of x and y, computed from the columns of x, which are made on the way if they are None."""

    @staticmethod
    def forward(x: Tensor, y: Tensor, columns: Tensor | None) -> Tensor:
        if columns is None:
            return _weight_gradient_in_parts(x, y)
        return _weight_gradient(columns, y)

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
        return _columns(x)


@register_operator
def _columns(x: Tensor) -> Tensor:
    """im2col: the 4 x 4 windows of stride 2 of x, padded: [N, C, H, W] -> [N, H/2, W/2, 16 C]."""
    return _windows(x, side=4, step=2)


@register_operator
def _convolution(columns: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    n, h, w, _ = columns.shape
    y = _empty_channels_last(columns, n, len(weight), h, w)
    rows, matrix = columns.flatten(0, 2), to_nhwc(weight).flatten(1).mT
    out = to_nhwc(y).flatten(0, 2)
    if bias is None:
        torch.mm(rows, matrix, out=out)
    else:
        torch.addmm(bias, rows, matrix, out=out)
    return y


@register_operator
def _weight_gradient(columns: Tensor, y: Tensor) -> Tensor:
    weight = _empty_channels_last(y, y.shape[1], columns.shape[3] // 16, 4, 4)
    rows = to_nhwc(y).flatten(0, 2)
    torch.mm(rows.mT, columns.flatten(0, 2), out=to_nhwc(weight).flatten(1))
    return weight


@register_operator
def _weight_gradient_in_parts(x: Tensor, y: Tensor) -> Tensor:
    """`_weight_gradient` with the columns of some images at a time, since they fill memory."""
    count = max(1, _MAX_COLUMNS // (16 * x.shape[1] * y[0, 0].numel()))
    parts = [
        _weight_gradient(_columns(xs), ys)
        for xs, ys in zip(x.split(count), y.split(count), strict=True)
    ]
    return parts[0] if len(parts) == 1 else to_nchw(torch.stack(list(map(to_nhwc, parts))).sum(0))


@register_operator
def _transpose(y: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """In one dimension y[i] w[k] is added to x[2i - 1 + k]: the even and the odd x are each a
    convolution of y with two taps, and the even x are those of odd k.
    """
    small, large = weight.shape[:2]
    taps = weight.new_empty(2, 2, small, 2, 2, large)
    kernels = to_nhwc(weight).reshape(small, 2, 2, 2, 2, large)  # [C', tap, parity of k, ..., C]
    for i in (0, 1):
        for j in (0, 1):
            taps[1 - i, 1 - j] = kernels[:, i, :, j]
    n, _, h, w = y.shape
    rows, matrix = _windows(y, side=2, step=1).flatten(0, 2), taps.view(4 * small, 4 * large)
    parities = rows @ matrix if bias is None else torch.addmm(bias.repeat(4), rows, matrix)
    parities = parities.view(n, h + 1, w + 1, 2, 2, large)
    x = _empty_channels_last(y, n, large, 2 * h, 2 * w)
    pixels = to_nhwc(x).view(n, h, 2, w, 2, large)
    for p in (0, 1):
        for q in (0, 1):
            pixels[:, :, p, :, q] = parities[:, p : p + h, q : q + w, 1 - p, 1 - q]
    return x


def _empty_channels_last(like: Tensor, *shape: int) -> Tensor:
    """No view, so that what follows may change it in place."""
    return torch.empty(
        shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )


def _windows(x: Tensor, side: int, step: int) -> Tensor:
    """Square windows of x, padded: [N, C, H, W] -> [N, rows, columns, side side C]."""
    padded = F.pad(to_nhwc(x), (0, 0, 1, 1, 1, 1))
    return padded.unfold(1, side, step).unfold(2, side, step).permute(0, 1, 2, 4, 5, 3).flatten(3)
