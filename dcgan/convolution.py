"""The two convolutions that the networks are built of: stride 2 down, and its transpose up.

`downsample` and `upsample` are PyTorch's operators, except where the processor's direct
convolution is bound by its multiplications: there wide layers do with 9 of 16 of them, and the
layer that makes the image has another shape.

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

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# Where fewer products repay the additions (`python -m benchmarks step`). Wider vectors were
# not at hand to measure.
CAPABILITY = "AVX2"
WIDE = 256  # channels at the small side
NARROW = 4  # channels at the large side
MANY = 256  # positions at the small side, over the batch


def downsample(x: Tensor, weight: Tensor) -> Tensor:
    """Stride-2 convolution that halves even sides.

    x: [N, C, H, W], weight: [C', C, k, k] -> [N, C', H/2, W/2]
    """
    if saves_products(x, weight, x.shape[2:]):
        return winograd_down(x, weight)
    return F.conv2d(x, weight, stride=2, padding=(weight.shape[-1] - 1) // 2)


def upsample(x: Tensor, weight: Tensor) -> Tensor:
    """Its transpose, which doubles the sides.

    x: [N, C', H, W], weight: [C', C, k, k] -> [N, C, 2H, 2W]
    """
    if saves_products(x, weight, [2 * side for side in x.shape[2:]]):
        return winograd_up(x, weight)
    if is_narrow(x, weight):
        return narrow_up(x, weight)
    kernel = weight.shape[-1]
    return F.conv_transpose2d(
        x, weight, stride=2, padding=(kernel - 1) // 2, output_padding=kernel % 2
    )


def saves_products(x: Tensor, weight: Tensor, sides: list[int]) -> bool:
    """Whether Winograd's products are the faster way; `sides` are those of the larger maps."""
    height, width = sides
    return (
        is_known(x, weight)
        and height % 4 == width % 4 == 0
        and weight.shape[0] >= WIDE
        and len(x) * height * width >= 4 * MANY
    )


def is_narrow(x: Tensor, weight: Tensor) -> bool:
    """Whether the large side has so few channels that `narrow_up` is the faster way."""
    return is_known(x, weight) and weight.shape[1] <= NARROW


def is_known(x: Tensor, weight: Tensor) -> bool:
    """Whether the processor, the arithmetic and the kernel are those that were measured."""
    return (
        not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and x.device.type == "cpu"
        and torch.backends.cpu.get_cpu_capability() == CAPABILITY
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and weight.shape[-1] == 4
    )


def narrow_up(x: Tensor, weight: Tensor) -> Tensor:
    """`upsample` of 4 x 4 kernels as a convolution of stride 1 (Shi et al. 2016, arXiv:1609.07009).

    In one dimension y[2i - 1 + k] gets x[i] w[k]: the outputs of either parity are x convolved with
    two taps. All parities together are a convolution with four times the channels, and vectors
    that C channels alone would leave half empty are filled.
    """
    taps = weight.unflatten(3, (2, 2)).unflatten(2, (2, 2)).flip(2, 4)
    kernels = taps.permute(3, 5, 1, 0, 2, 4).flatten(0, 2)  # [4 C, C', 2, 2]
    maps = F.conv2d(x, channels_last(kernels), padding=1)
    pixels = nhwc(maps).unflatten(3, (2, 2, -1)).transpose(2, 3)  # [N, H + 1, 2, W + 1, 2, C]
    return nchw(pixels.flatten(3, 4).flatten(1, 2)[:, 1:-1, 1:-1])


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


def nhwc(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def channels_last(x: Tensor) -> Tensor:
    """x in that order in memory. (torch's own way to say so is none that vmap knows.)"""
    return nchw(nhwc(x).contiguous())


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
