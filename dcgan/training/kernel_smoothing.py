"""How the kernels of transposed convolutions start and learn, so that no checkerboard is learnt.

Of a stride-2 transposed convolution even and odd pixels have their own taps. Whatever sets them
apart puts a pattern of two pixels over every image, and both begin with it: independent initial
numbers, and Adam, which moves all taps at one speed however little of the gradient tells them
apart. So kernels start as bilinear interpolation, and where learning moves neighbouring taps apart
it is slowed down: the kernel is W = S V S with a fixed smoothing S along each axis, by [1 2 1] / 4,
and V is what Adam moves. W itself is kept: of V only the steps are needed.

What is the same everywhere is to stay so: even and odd taps of a kernel always add up to the same.
Else all channels together draw a pattern on plain ground, however little each of them does: the
features after a ReLU have means, and Adam moves all the kernels one way at once. Where features
rise or fall evenly, the same is asked of the first moments of the taps, or a plaid grows with the
slope; but no kernel is sharper than bilinear then, so that these are slowed down, and not stopped.

Energy at the finest checkerboard, relative to that of the real images, after 24,000 drawings:
1,676 with neither, 396 with the bilinear start alone, 23 with S too. After 32,000: 7.0 with S
twice, and 0.5 with even and odd taps alike too. Near the finest stripes, after 20,000 at width 64:
5.4 with free moments, 1.4 with slow ones. More of S is not better: with S twice, what an image
shows is learnt slowly too, and with none drawings have speckled edges (README has the distances).
"""

from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor

SLOPES = 0.3  # Fréchet distance 154; with 1, 182, with 0, 162 (S twice). 147; with 0.1, 154 (once)


def smooth(kernels: Tensor) -> Tensor:
    """E S K S E of kernels [..., k, k], outside of which is zero: smoothed, and evened before and
    after."""
    side = kernels.shape[-1]
    both_axes = matrix(side, kernels.dtype, kernels.device)
    return (kernels.flatten(-2) @ both_axes).unflatten(-1, (side, side))


@cache
def matrix(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What smooths a flattened kernel and evens its taps: symmetric, [k k, k k]."""
    offset = torch.arange(side, device=device)
    S = (2 - (offset[:, None] - offset).abs()).clamp(min=0).to(dtype) / 4
    E = evenly(side).to(S)
    return E @ torch.kron(S, S) @ E


def evenly(side: int) -> Tensor:
    """What takes the differences between the taps of even and of odd pixels from a flattened
    kernel: those of their sums wholly, those of their first moments to SLOPES. [k k, k k]."""
    tap = torch.arange(side, dtype=torch.float64)
    along = torch.stack([1 - tap % 2, tap % 2])
    phases = torch.einsum("pi,qj->pqij", along, along).reshape(4, side * side)
    rows, columns = tap.repeat_interleave(side), tap.repeat(side)
    sums = phases[1:] - phases[:1]
    slopes = torch.cat([sums * rows, sums * columns])
    plain, ramps = without(sums), without(torch.cat([sums, slopes]))
    return ramps + SLOPES * (plain - ramps)


def without(vectors: Tensor) -> Tensor:
    """The projection to what is orthogonal to all of `vectors` [n, m]: [m, m]."""
    return torch.eye(vectors.shape[1]).to(vectors) - torch.linalg.pinv(vectors) @ vectors


@torch.no_grad()
def bilinear(weights: Iterable[Tensor], std: float) -> None:
    """Fill [C', C, k, k] each with bilinear interpolation, times a random number a kernel.

    A kernel has the norm that independent numbers of standard deviation `std` would have.
    """
    for weight in weights:
        side = weight.shape[-1]
        tent = 1 - (torch.arange(side) - (side - 1) / 2).abs() / 2
        kernel = torch.outer(tent, tent)
        factors = torch.randn(*weight.shape[:2], 1, 1) * std * side
        weight.copy_(factors * kernel / kernel.norm())


def learn_smoothly(optimizer: torch.optim.Optimizer, weights: Iterable[Tensor]) -> None:
    """Have an optimizer move V instead of the `weights` themselves, [C', C, k, k] each."""
    weights = list(weights)
    before = []

    def to_V(*_) -> None:
        before[:] = [weight.detach().clone() for weight in weights]
        for weight in weights:
            weight.grad.copy_(smooth(weight.grad))

    @torch.no_grad()
    def to_W(*_) -> None:
        for weight, old in zip(weights, before, strict=True):
            weight.copy_(old + smooth(weight - old))

    optimizer.register_step_pre_hook(to_V)
    optimizer.register_step_post_hook(to_W)
