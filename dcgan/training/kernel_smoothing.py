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

from collections.abc import Iterable, Sequence
from functools import cache

import torch
from torch import Tensor

from dcgan.runtime.device import full_float32_precision

_MOMENT_DAMPING = 0.3  # share left of the differences between first moments: docs/recipe.md


def smooth_gradients(kernels: Iterable[Tensor]) -> None:
    """Smooth the gradients of `kernels` [C', C, k, k] in place: call it before Adam's step."""
    for kernel in kernels:
        assert kernel.grad is not None
        kernel.grad.copy_(smooth_kernels(kernel.grad))  # fused Adam reads it in the kernel's layout


@torch.no_grad()
def smooth_updates(kernels: Sequence[Tensor], previous: Sequence[Tensor]) -> None:
    """Smooth the update of `kernels` [C', C, k, k] in place: call it after Adam's step, with the
    `previous` values of the kernels, copied before it.
    """
    for kernel, old in zip(kernels, previous, strict=True):
        kernel.copy_(smooth_kernels(kernel - old).add_(old))


@full_float32_precision()  # TF32 would change the sums of the phases, which E makes equal
def smooth_kernels(kernels: Tensor) -> Tensor:
    """E S K S E of each kernel K in [C', C, k, k], as if it had zeros around it.

    In the memory order of channels last, which the weights have.
    """
    side = kernels.shape[-1]
    matrix = _smoothing_matrix(side, kernels.dtype, kernels.device)
    taps = kernels.permute(0, 2, 3, 1).flatten(1, 2)  # [C', k k, C]
    smooth = torch.bmm(matrix.expand(len(taps), -1, -1), taps)
    return smooth.unflatten(1, (side, side)).permute(0, 3, 1, 2)


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
