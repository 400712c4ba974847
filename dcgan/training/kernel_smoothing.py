"""Smooth upsampling kernels, against checkerboards: bilinear at the start, smoothed as they learn.

The even and the odd output pixels of a stride-2 transposed convolution are computed by different
taps of its kernel. Whatever makes the taps differ puts a pattern with a period of two pixels over
every image: independent initial weights do, and so does Adam, which moves all taps at the same
speed however small their gradients are. Two things prevent it here.

1. A kernel starts as bilinear interpolation.
2. A kernel is W = S V S, with S a fixed convolution by [1 2 1] / 4 along each axis, and Adam moves
   V in place of W. Since S is linear, W itself can be stored: its gradient is smoothed before Adam,
   and its update after Adam.

Smoothing is preceded and followed by E, which balances the four phases of a kernel (the taps of
even and odd rows and columns). All phases keep the same sum, so that constant features stay a
constant image: features after a ReLU have means, and Adam can move all kernels the same way at
once. Differences between the phases' first moments, which put stripes on slopes, are only damped,
since without any of them no kernel is sharper than bilinear interpolation.

docs/recipe.md has the measurements.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from dcgan.networks import StridedConvTranspose2d
from dcgan.networks.channels_last import to_nchw, to_nhwc
from dcgan.runtime.device import full_float32_precision

_MOMENT_DAMPING = 0.3  # share left of the differences between first moments: docs/recipe.md


def upsampling_kernels(G: nn.Module) -> list[nn.Parameter]:
    """The kernels of the transposed convolutions [C', C, k, k] that double the side."""
    return [module.weight for module in G.modules() if isinstance(module, StridedConvTranspose2d)]


def smooth_gradients(kernels: Iterable[Tensor]) -> None:
    """Smooth the gradients of `kernels` [C', C, k, k]: call it before Adam's step.

    The kernels have their channels last in memory, so that Adam can be fused.
    """
    for kernel in kernels:
        assert kernel.grad is not None
        kernel.grad = smooth_kernels(kernel.grad)


@contextmanager
def smooth_updates(kernels: Sequence[Tensor]) -> Iterator[None]:
    """Smooth the update of `kernels` [C', C, k, k] by an optimizer in the block.

    In the block they are zero, so that they become the update: that of Adam does not depend on
    its parameters.
    """
    with torch.no_grad():
        previous = [kernel.clone() for kernel in kernels]
        for kernel in kernels:
            kernel.zero_()
        try:
            yield
        finally:  # an error leaves no zeros
            for kernel, old in zip(kernels, previous, strict=True):
                kernel.copy_(smooth_kernels(kernel, add_to=old))


@full_float32_precision()  # TF32 would change the sums of the phases, which E makes equal
def smooth_kernels(kernels: Tensor, add_to: Tensor | None = None) -> Tensor:
    """E S K S E of each kernel K in [C', C, k, k], as if it had zeros around it, plus `add_to`.

    In the memory order of channels last, which the weights have.
    """
    side = kernels.shape[-1]
    matrix = _smoothing_matrix(side, kernels.dtype, kernels.device).expand(len(kernels), -1, -1)
    taps = to_nhwc(kernels).flatten(1, 2)  # [C', k k, C]
    if add_to is None:
        smooth = torch.bmm(matrix, taps)
    else:
        smooth = torch.baddbmm(to_nhwc(add_to).flatten(1, 2), matrix, taps)
    return to_nchw(smooth.unflatten(1, (side, side)))


@torch.no_grad()
def init_bilinear(kernels: Iterable[Tensor], std: float) -> None:
    """Fill every kernel of each [C', C, k, k] with bilinear interpolation times a random factor.

    The mean square norm of a kernel is that of independent weights of standard deviation `std`.
    """
    for weight in kernels:
        side = weight.shape[-1]
        tent = 1 - (torch.arange(side) - (side - 1) / 2).abs() / 2
        kernel = torch.outer(tent, tent)
        factors = torch.randn(*weight.shape[:2], 1, 1) * std * side
        weight.copy_(factors * kernel / kernel.norm())


@cache
def _smoothing_matrix(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`smooth_kernels` as a symmetric matrix for flattened kernels: [k k, k k]."""
    offset = torch.arange(side, device=device)
    S = (2 - (offset[:, None] - offset).abs()).clamp(min=0).to(dtype) / 4
    E = _balancing_matrix(side).to(S)
    return E @ torch.kron(S, S) @ E


def _balancing_matrix(side: int) -> Tensor:
    """E for flattened kernels, symmetric, [k k, k k]: removes the differences between the sums of
    the four phases, and leaves _MOMENT_DAMPING of those between their first moments."""
    tap = torch.arange(side, dtype=torch.float64)
    parity = torch.stack([1 - tap % 2, tap % 2])
    phases = torch.einsum("pi,qj->pqij", parity, parity).reshape(4, side * side)
    rows, columns = tap.repeat_interleave(side), tap.repeat(side)
    sums = phases[1:] - phases[:1]
    moments = torch.cat([sums * rows, sums * columns])
    equal_sums = _projection_orthogonal_to(sums)
    equal_moments = _projection_orthogonal_to(torch.cat([sums, moments]))
    return equal_moments + _MOMENT_DAMPING * (equal_sums - equal_moments)


def _projection_orthogonal_to(vectors: Tensor) -> Tensor:
    """The projection onto the orthogonal complement of `vectors` [n, m]: [m, m]."""
    return torch.eye(vectors.shape[1]).to(vectors) - torch.linalg.pinv(vectors) @ vectors
