"""Stride-2 convolutions of 4 x 4 kernels, and their transposes, as matrix products.

im2col copies the 4 x 4 window of every output position into a row of a matrix of "columns"
(Chellapilla et al. 2006, "High Performance Convolutional Neural Networks for Document Processing").
With x [N, C, H, W], weights w [C', C, 4, 4] and y [N, C', H/2, W/2],

    convolution      y = columns(x) wᵀ
    its transpose    x = pixel_shuffle(windows(y) taps(w))
    gradient of w    w = yᵀ columns(x)

The transpose is a sub-pixel convolution (Shi et al. 2016, arXiv:1609.07009), so that a product adds
up all that is added to one number: bf16 products do that in float32. `bilinear_convolution`
differentiates these operators.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.networks.channels_last import to_nchw, to_nhwc
from dcgan.networks.linear_operator import register_operator

_MAX_COLUMNS = 2**23  # numbers of a part


@register_operator
def columns_of(x: Tensor) -> Tensor:
    """im2col: the 4 x 4 windows of stride 2 of x, padded: [N, C, H, W] -> [N, H/2, W/2, 16 C]."""
    return _windows(x, side=4, step=2)


@register_operator
def convolution(columns: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """columns [N, h, w, 16 C], weight [C', C, 4, 4], bias [C'] -> [N, C', h, w]."""
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
def weight_gradient(columns: Tensor, y: Tensor) -> Tensor:
    """columns [N, h, w, 16 C], y [N, C', h, w] -> [C', C, 4, 4]."""
    weight = _empty_channels_last(y, y.shape[1], columns.shape[3] // 16, 4, 4)
    rows = to_nhwc(y).flatten(0, 2)
    torch.mm(rows.mT, columns.flatten(0, 2), out=to_nhwc(weight).flatten(1))
    return weight


@register_operator
def weight_gradient_in_parts(x: Tensor, y: Tensor) -> Tensor:
    """`weight_gradient` of the columns of x, of some images at a time, since they fill memory."""
    count = max(1, _MAX_COLUMNS // (16 * x.shape[1] * y[0, 0].numel()))
    parts = [
        weight_gradient(columns_of(xs), ys)
        for xs, ys in zip(x.split(count), y.split(count), strict=True)
    ]
    return parts[0] if len(parts) == 1 else to_nchw(torch.stack(list(map(to_nhwc, parts))).sum(0))


@register_operator
def transpose(y: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """y [N, C', h, w], weight [C', C, 4, 4], bias [C] -> [N, C, 2h, 2w].

    In one dimension y[i] w[k] is added to x[2i - 1 + k]: the even and the odd x are each a
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
