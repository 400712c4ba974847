"""Paths through latent space."""

import torch
from torch import Tensor


def lerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """Straight line from a (t = 0) to b (t = 1), exact at both ends.

    a, b: [..., D]; t: a number or [..., 1] -> [..., D].
    """
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device)
    return torch.where(t < 0.5, a + t * (b - a), b - (1 - t) * (b - a))


def slerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """Great circle from a (t = 0) to b (t = 1), exact at both ends (Shoemake 1985; White 2016).

    High-dimensional normal latents lie near a sphere, which a straight line leaves. The direction
    follows the arc at constant speed and the length goes linearly from |a| to |b|, so vectors of
    different lengths work too. Parallel vectors give the straight line. Opposite vectors have no
    single great circle: the one through a fixed perpendicular direction is taken. A zero vector
    has no direction, and in one dimension there is no circle: the straight line is taken.

    a, b: [..., D]; t: a number or [..., 1] -> [..., D].
    """
    if a.shape[-1] == 1:
        return lerp(a, b, t)
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device)
    (unit_a, length_a), (unit_b, length_b) = direction(a), direction(b)
    # Twice the arctangent of half-chords keeps its digits at 0 and at pi, where arccos loses them.
    angle = 2 * torch.atan2(
        (unit_b - unit_a).norm(dim=-1, keepdim=True), (unit_b + unit_a).norm(dim=-1, keepdim=True)
    )
    tangent = unit_b - (unit_a * unit_b).sum(-1, keepdim=True) * unit_a
    across = tangent.norm(dim=-1, keepdim=True)
    opposite = (across < NEARLY) & (angle > 1)
    tangent = torch.where(opposite, perpendicular(unit_a), tangent / across)
    arc = torch.cos(t * angle) * unit_a + torch.sin(t * angle) * tangent
    path = arc * lerp(length_a, length_b, t)
    straight = (length_a == 0) | (length_b == 0) | ((across < NEARLY) & ~opposite)
    path = torch.where(straight, lerp(a, b, t), path)
    return torch.where(t == 0, a, torch.where(t == 1, b, path))


NEARLY = 1e-4  # sine of the angle below which two directions count as parallel or opposite


def direction(v: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vector and length, [..., D] and [..., 1]; the squares of tiny numbers do not vanish."""
    largest = v.abs().amax(dim=-1, keepdim=True)
    scaled = v / torch.where(largest > 0, largest, 1.0)
    length = scaled.norm(dim=-1, keepdim=True)
    return scaled / length, length * largest


def perpendicular(unit: Tensor) -> Tensor:
    """A unit vector at right angles to each unit vector: [..., D] -> [..., D]."""
    axis = torch.zeros_like(unit).scatter_(-1, unit.abs().argmin(-1, keepdim=True), 1.0)
    across = axis - (axis * unit).sum(-1, keepdim=True) * unit
    return across / across.norm(dim=-1, keepdim=True)


def walk(stops: Tensor, frames: int, labels: int = 0) -> Tensor:
    """Latents of an endless walk along great circles: stops [K, D] -> [frames, D].

    Every stop gets the same share of the frames, and the last leg leads back to the first stop.
    The last `labels` numbers are no latents and go straight: where both stops have one, all have.
    """
    position = torch.arange(frames) * len(stops) / frames
    leg = position.long()
    latent_dim = stops.shape[1] - labels
    (a, from_label), (b, to_label) = (
        stops[stop].split([latent_dim, labels], 1) for stop in (leg, (leg + 1) % len(stops))
    )
    t = (position - leg)[:, None]
    return torch.cat([slerp(a, b, t), lerp(from_label, to_label, t)], 1)
