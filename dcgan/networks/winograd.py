"""Stride-2 convolutions of 4 x 4 kernels, and their transposes, with 9 of 16 multiplications.

In one dimension y[j] = sum over k = 0..3 of x[2j - 1 + k] w[k]. That is the odd samples of x
convolved with the two taps w[0], w[2], plus the even ones convolved with w[1], w[3]. Two
neighbouring outputs of two taps are three products instead of four (Winograd's F(2, 2), "Arithmetic
Complexity of Computations", 1980; for networks: Lavin and Gray 2015, arXiv:1509.09308):

    d0 g0 + d1 g1 = m0 + m1        m0 = (d0 - d1) g0
    d1 g0 + d2 g1 = m1 - m2        m1 = d1 (g0 + g1)
                                   m2 = (d1 - d2) g1

In two dimensions the 3 x 3 products of a tile of 2 x 2 outputs are nine matrix products over
channels and parities. Everything else is linear, and each linear map below stands beside its
adjoint: the transposed convolution is the adjoint of the convolution, and autograd finds the
gradient of each in the other.
"""

import torch
from torch import Tensor

from dcgan.networks.linear_operator import Linear, operator


def winograd_down(x: Tensor, weight: Tensor) -> Tensor:
    """`downsample` of 4 x 4 kernels and sides that 4 divides."""
    points = Linear.apply(nhwc(x), analyse, synthesise)  # [3, 3, N, h, w, 2, 2, C]
    kernels = Linear.apply(nhwc(weight), expand, contract)  # [3, 3, C', 2, 2, C]
    products = torch.bmm(
        points.flatten(5).flatten(2, 4).flatten(0, 1), kernels.flatten(3).flatten(0, 1).mT
    )
    products = products.unflatten(1, points.shape[2:5]).unflatten(0, (3, 3))
    return nchw(Linear.apply(products, collect, spread))


def winograd_up(x: Tensor, weight: Tensor) -> Tensor:
    """`upsample` of 4 x 4 kernels and even sides."""
    products = Linear.apply(nhwc(x), spread, collect)  # [3, 3, N, h, w, C']
    kernels = Linear.apply(nhwc(weight), expand, contract)  # [3, 3, C', 2, 2, C]
    points = torch.bmm(products.flatten(2, 4).flatten(0, 1), kernels.flatten(3).flatten(0, 1))
    points = points.unflatten(2, kernels.shape[3:]).unflatten(1, products.shape[2:5])
    return nchw(Linear.apply(points.unflatten(0, (3, 3)), synthesise, analyse))


def nhwc(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


# Maps of the large side [n, 4h, 4w, C] <-> their points [3, 3, n, h, w, 2, 2, C], by parity.


@operator
def analyse(x: Tensor) -> Tensor:
    """d0 - d1, d1 and d1 - d2 of every tile, along rows and columns."""
    n, height, width, c = x.shape
    h, w = height // 4, width // 4
    rows = x.new_empty(3, 2, n, h, width, c)
    split(x, -3, rows)
    points = x.new_empty(3, 3, n, h, w, 2, 2, c)
    split(rows, -2, points.permute(1, 6, 0, 5, 2, 3, 4, 7))
    return points


@operator
def synthesise(points: Tensor) -> Tensor:
    """Adjoint of `analyse`."""
    _, _, n, h, w, _, _, c = points.shape
    rows = points.new_empty(3, 2, n, h, 4 * w, c)
    join(points.permute(1, 6, 0, 5, 2, 3, 4, 7), -2, rows)
    x = points.new_empty(n, 4 * h, 4 * w, c)
    join(rows, -3, x)
    return x


def split(x: Tensor, dim: int, points: Tensor) -> None:
    """4n samples along `dim` of x -> n along `dim` of points[3, 2 parities, odd first].

    Beyond the ends x is zero.
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


def join(points: Tensor, dim: int, x: Tensor) -> None:
    """Adjoint of `split`."""
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


# Maps of the small side [n, 2h, 2w, C'] <-> products [3, 3, n, h, w, C'].


@operator
def spread(y: Tensor) -> Tensor:
    """Adjoint of `collect`."""
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


@operator
def collect(products: Tensor) -> Tensor:
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


# Kernels [C', 4, 4, C] <-> g0, g0 + g1, g1 of both parities [3, 3, C', 2, 2, C].


@operator
def expand(kernels: Tensor) -> Tensor:
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


@operator
def contract(points: Tensor) -> Tensor:
    """Adjoint of `expand`.

    The gradients of `winograd_down` come with C' last in memory. They are summed up in that order,
    and turned when fewer numbers are left, in the two dimensions that torch turns quickly.
    """
    _, _, k, _, _, c = points.shape
    turned = points.stride(-1) != 1

    def empty(*shape: int) -> Tensor:
        return points.new_empty(*shape, k).movedim(-1, 0) if turned else points.new_empty(k, *shape)

    points = points.movedim(2, 0)
    rows, kernels = empty(3, 2, 2, 2, c), empty(4, 4, c)
    torch.add(points[:, :, 0], points[:, :, 1], out=rows[:, :, :, 0])
    torch.add(points[:, :, 1], points[:, :, 2], out=rows[:, :, :, 1])
    first, last = kernels.view(k, 2, 2, 2, 2, c).unbind(1)
    torch.add(rows[:, 0], rows[:, 1], out=first)
    torch.add(rows[:, 1], rows[:, 2], out=last)
    return kernels.flatten(1).contiguous().view(k, 4, 4, c)
