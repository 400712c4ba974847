"""Paths through latent space."""

import torch
from torch import Tensor

from dcgan.latent.noise import ArrayLike, as_floats

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


def walk(stops: ArrayLike, frames: int, latent_dim: int | None = None) -> Tensor:
    """Latents of a closed walk along great circles: stops [K, D] -> [frames, D].

    Every stop gets an equal share of the frames, and the last leg leads back to the first stop.
    Columns from `latent_dim` on are labels, which are interpolated linearly. Default: none are.
    """
    stops = as_floats(stops)
    position = torch.arange(frames) * len(stops) / frames
    leg = position.long()
    t = (position - leg)[:, None]
    start, end = stops[leg], stops[(leg + 1) % len(stops)]
    z = slerp(start[:, :latent_dim], end[:, :latent_dim], t)
    if latent_dim is None:
        return z
    return torch.cat([z, lerp(start[:, latent_dim:], end[:, latent_dim:], t)], 1)
