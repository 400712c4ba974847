"""Interpolation between two latents: straight, along great circles, within the cube."""

from collections.abc import Callable

import torch
from torch import Tensor

from dcgan.latent.noise import ArrayLike, as_floats

# A function (a, b, t): from a at t = 0 to b at t = 1, as `lerp`.
Interpolation = Callable[[Tensor, Tensor, Tensor], Tensor]

_PARALLEL = 1e-4  # sine of the angle below which directions count as parallel or opposite


def lerp(a: ArrayLike, b: ArrayLike, t: ArrayLike) -> Tensor:
    """Linear interpolation from a (t = 0) to b (t = 1), exact at both ends.

    a, b: [..., D]; t: a number or [..., 1] -> [..., D].
    """
    a, b = as_floats(a), as_floats(b)
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device)
    return torch.where(t < 0.5, a + t * (b - a), b - (1 - t) * (b - a))


def slerp(a: ArrayLike, b: ArrayLike, t: ArrayLike) -> Tensor:
    """Spherical linear interpolation from a (t = 0) to b (t = 1), exact at both ends (Shoemake
    1985; White 2016, arXiv:1609.04468).

    High-dimensional normal latents lie near a sphere, which a straight line leaves. The direction
    follows the great circle at constant speed and the length goes linearly from |a| to |b|.
    Opposite vectors have no single great circle: one through a fixed perpendicular direction is
    taken. Parallel vectors, a zero vector and vectors of one dimension get the straight line.

    a, b: [..., D]; t: a number or [..., 1] -> [..., D].
    """
    a, b = as_floats(a), as_floats(b)
    if a.shape[-1] == 1:
        return lerp(a, b, t)
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device)
    (unit_a, length_a), (unit_b, length_b) = _direction_and_length(a), _direction_and_length(b)
    # Twice the arctangent of half-chords is accurate at 0 and at pi, where arccos is not.
    angle = 2 * torch.atan2(
        (unit_b - unit_a).norm(dim=-1, keepdim=True), (unit_b + unit_a).norm(dim=-1, keepdim=True)
    )
    tangent = unit_b - (unit_a * unit_b).sum(-1, keepdim=True) * unit_a
    sine = tangent.norm(dim=-1, keepdim=True)
    opposite = (sine < _PARALLEL) & (angle > 1)
    tangent = torch.where(opposite, _perpendicular(unit_a), tangent / sine)
    arc = torch.cos(t * angle) * unit_a + torch.sin(t * angle) * tangent
    path = arc * lerp(length_a, length_b, t)
    straight = (length_a == 0) | (length_b == 0) | ((sine < _PARALLEL) & ~opposite)
    path = torch.where(straight, lerp(a, b, t), path)
    return torch.where(t == 0, a, torch.where(t == 1, b, path))


def uniform_slerp(a: ArrayLike, b: ArrayLike, t: ArrayLike) -> Tensor:
    """Interpolation between latents of U(-1, 1) from a (t = 0) to b (t = 1), exact at both ends.

    A straight line shrinks such latents: halfway between two independent ones the variance is 1/6
    instead of 1/3. `slerp` leaves the cube by a factor of up to 1.41. Here every component is
    mapped to the normal variable of the same quantile, `slerp` interpolates these, and its result
    is mapped back: halfway, components are again U(-1, 1). (Agustsson et al. 2019,
    arXiv:1711.01970, name the aim and reach it by optimal transport, for independent ends.) Ends
    outside the cube are interpolated as the nearest point of the cube; the rest linearly.

    a, b: [..., D]; t: a number or [..., 1] -> [..., D].
    """
    a, b = as_floats(a), as_floats(b)
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device)
    limit = 1 - torch.finfo(a.dtype).eps / 2  # whose quantile is finite
    inside_a, inside_b = a.clamp(-limit, limit), b.clamp(-limit, limit)
    quantiles = slerp(torch.erfinv(inside_a), torch.erfinv(inside_b), t)
    path = torch.erf(quantiles) + lerp(a - inside_a, b - inside_b, t)
    return torch.where(t == 0, a, torch.where(t == 1, b, path))


def interpolation_for(distribution: str) -> Interpolation:
    """The interpolation that keeps latents typical of their distribution: "normal", "uniform"."""
    return uniform_slerp if distribution == "uniform" else slerp


def _direction_and_length(v: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vector and length, [..., D] and [..., 1]. Squares of tiny numbers do not underflow."""
    largest = v.abs().amax(dim=-1, keepdim=True)
    scaled = v / torch.where(largest > 0, largest, 1.0)
    length = scaled.norm(dim=-1, keepdim=True)
    return scaled / length, length * largest


def _perpendicular(unit: Tensor) -> Tensor:
    """A unit vector perpendicular to each unit vector: [..., D] -> [..., D]."""
    axis = torch.zeros_like(unit).scatter_(-1, unit.abs().argmin(-1, keepdim=True), 1.0)
    rest = axis - (axis * unit).sum(-1, keepdim=True) * unit
    return rest / rest.norm(dim=-1, keepdim=True)
