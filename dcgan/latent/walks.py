"""Walks: paths through any number of latents, and how fast they are followed."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from dcgan.errors import UsageError
from dcgan.latent.interpolation import Interpolation, lerp, slerp
from dcgan.latent.noise import ArrayLike, as_floats

# The bits of some functions depend on how many latents they get in one call: walks are computed in
# blocks of a fixed number of frames, whoever asks for them.
_BLOCK = 64
_POINTS = 256  # per leg, between which the length of a path is measured along straight lines


def walk(
    stops: ArrayLike,
    frames: int,
    latent_dim: int | None = None,
    *,
    closed: bool = True,
    easing: str = "linear",
    interpolate: Interpolation = slerp,
) -> Tensor:
    """Latents of a walk from stop to stop: [K, D] -> [frames, D].

    `closed`: the last leg leads back to the first stop, one step before which the walk ends, so
    that it repeats without a seam. Otherwise it ends at the last stop. Columns from `latent_dim`
    on are labels, which are interpolated linearly. Default: none are.

    `easing`: "linear" gives every leg an equal share of the frames, "smoothstep" too, but each leg
    starts and ends at rest: t becomes 3 t^2 - 2 t^3. "constant-speed" gives all steps the same
    length, measured along the path in the space of G's input, labels included: for stops of equal
    length the same angle; a longer leg gets more frames. Stops lie between frames where the
    frames do not divide evenly.

    `interpolate`: between two stops. Raises UsageError for stops of another shape, no frames, or
    an unknown easing.
    """
    blocks = walk_in_blocks(
        stops, frames, latent_dim, closed=closed, easing=easing, interpolate=interpolate
    )
    return torch.cat(list(blocks))


def walk_in_blocks(
    stops: ArrayLike,
    frames: int,
    latent_dim: int | None = None,
    *,
    closed: bool = True,
    easing: str = "linear",
    interpolate: Interpolation = slerp,
) -> Iterator[Tensor]:
    """The rows of `walk` in blocks [n, D] of up to 64, which take little memory together."""
    stops = as_floats(stops)
    if stops.dim() != 2 or not len(stops):
        raise UsageError(f"stops must have the shape [K, D], K >= 1, not {list(stops.shape)}")
    if frames < 1:
        raise UsageError(f"a walk has at least 1 frame, not {frames}")
    if closed:
        stops = torch.cat([stops, stops[:1]])
    path = _Path(stops, latent_dim, interpolate)
    positions = _positions(path, frames, frames if closed else max(frames - 1, 1), easing)
    return (path(block) for block in positions.split(_BLOCK))


class _Path:
    """A path from stop to stop: positions from 0 to `legs`, float64 [n], to latents [n, D]."""

    def __init__(self, stops: Tensor, latent_dim: int | None, interpolate: Interpolation):
        self.legs = len(stops) - 1
        self._stops, self._interpolate = stops, interpolate
        self._latent_dim = stops.shape[1] if latent_dim is None else latent_dim

    def __call__(self, positions: Tensor) -> Tensor:
        leg = positions.long().clamp(max=max(self.legs - 1, 0))
        t = (positions - leg)[:, None].to(self._stops.dtype).to(self._stops.device)
        leg = leg.to(self._stops.device)
        start, end = self._stops[leg], self._stops[(leg + 1).clamp(max=self.legs)]
        n = self._latent_dim
        z = self._interpolate(start[:, :n], end[:, :n], t)
        return torch.cat([z, lerp(start[:, n:], end[:, n:], t)], 1)

    def leg_lengths(self, leg: int) -> Tensor:
        """The lengths of the _POINTS equal parts of a leg, float64."""
        parts = torch.arange(_POINTS + 1, dtype=torch.float64) / _POINTS
        ends = self._stops[leg : leg + 2].cpu().double()
        path = _Path(ends, self._latent_dim, self._interpolate)
        return path(parts).diff(dim=0).norm(dim=1)


def _positions(path: _Path, frames: int, steps: int, easing: str) -> Tensor:
    """Where on the path each frame is: float64 [frames]. `steps`: from the start to the end."""
    count = torch.arange(frames, dtype=torch.float64)
    equal_shares = count * path.legs / steps
    if easing == "linear":
        return equal_shares
    if easing == "smoothstep":
        leg = equal_shares.floor()
        t = equal_shares - leg
        return leg + t * t * (3 - 2 * t)
    if easing == "constant-speed":
        lengths = torch.cat([torch.zeros(1), *map(path.leg_lengths, range(path.legs))])
        ends = lengths.cumsum(0).numpy()
        if ends[-1] == 0:
            return equal_shares
        at = np.interp((count / steps).numpy() * ends[-1], ends, np.arange(len(ends)) / _POINTS)
        return torch.from_numpy(at)
    raise UsageError(f"easing must be linear, constant-speed or smoothstep, not {easing!r}")
