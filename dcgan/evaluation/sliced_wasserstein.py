"""Sliced Wasserstein distance on Laplacian pyramids (Karras et al. 2018, section 5 and appendix).

Each level of the pyramid holds one band of frequencies, so a distance per level says at which
scale two sets of images differ: from the full image down to 16 pixels.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from dcgan.evaluation.chunks import split_images
from dcgan.runtime.device import full_float32_precision

_MIN_SIDE = 16  # of the coarsest level
_PATCH_SIDE = 7
_PATCHES = 128  # per image and level
_DIRECTIONS = 128  # of projection; the authors average over 512
_DIRECTIONS_PER_CHUNK = 16
_BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16


def _level_sides(size: int) -> list[int]:
    """Sides of the levels, finest first: 64 -> [64, 32, 16]. Images up to 16 pixels have one."""
    return [size] + (_level_sides(size // 2) if size > _MIN_SIDE else [])


def _downsampling_matrix(side: int) -> Tensor:
    """The matrix [side/2, side] that smooths a row, mirrored at its ends, and halves it."""
    matrix = np.zeros((side // 2, side))
    for row in range(side // 2):
        for offset, weight in zip(range(-2, 3), _BINOMIAL, strict=True):
            place = abs(2 * row + offset)
            matrix[row, min(place, 2 * (side - 1) - place)] += weight
    return torch.from_numpy(matrix).float()


def _upsampling_matrix(side: int) -> Tensor:
    """The matrix [side, side/2] that puts zeros between the values of a row and smooths them."""
    matrix = np.zeros((side, side // 2))
    for row in range(side):
        for offset, weight in zip(range(-2, 3), _BINOMIAL, strict=True):
            place = abs(row + offset)
            place = min(place, 2 * (side - 1) - place)
            if place % 2 == 0:
                matrix[row, place // 2] += 2 * weight
    return torch.from_numpy(matrix).float()


def _laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """The pyramid of images [N, C, S, S] (Burt and Adelson 1983), finest level first.

    A level is the image minus the next smaller image, upsampled; the last is the smallest image.
    """
    levels = []
    for side in _level_sides(images.shape[-1])[:-1]:
        down = _downsampling_matrix(side).to(images.device)
        up = _upsampling_matrix(side).to(images.device)
        smaller = down @ images @ down.T
        levels.append(images - up @ smaller @ up.T)
        images = smaller
    return [*levels, images]


def _random_corners(count: int, side: int, seed: int, patches: int) -> np.ndarray:
    """Random places for 7x7 patches in levels of a side: top and left, int64 [2, count, patches].

    They are a function of the arguments.
    """
    rng = np.random.default_rng([seed, side])
    return rng.integers(side - _PATCH_SIDE + 1, size=(2, count, patches))


def _cut_patches(level: Tensor, corners: np.ndarray) -> Tensor:
    """7x7 patches of a level [N, C, S, S] at corners [2, N, patches] -> [N, patches, C * 49]."""
    top, left = torch.from_numpy(corners).to(level.device)[..., None, None]
    image = torch.arange(len(level), device=level.device)[:, None, None, None]
    steps = torch.arange(_PATCH_SIDE, device=level.device)
    # Channels last, so that one index takes all channels of a pixel.
    found = level.permute(0, 2, 3, 1)[image, top + steps[:, None], left + steps]
    return found.permute(0, 1, 4, 2, 3).flatten(2)


class PyramidPatches:
    """Random patches from every level of the pyramids of a set of images that comes in chunks.

    The patches are kept on the host: 75 kB for each image and level, if it has three channels.
    """

    def __init__(self, count: int, seed: int, patches: int = _PATCHES):
        """`count`: the number of images, on which the places of the patches depend too."""
        self.count, self.seed, self.patches = count, seed, patches
        self._levels: dict[int, tuple[np.ndarray, Tensor]] = {}  # side: corners and patches
        self._added = 0

    @full_float32_precision()
    def add(self, images: Tensor) -> None:
        """Take in the next images, uint8 [n, C, S, S]."""
        for chunk in split_images(images):
            for level in _laplacian_pyramid(chunk.float()):
                self._add_level(level)
            self._added += len(chunk)

    def _add_level(self, level: Tensor) -> None:
        side, channels = level.shape[-1], level.shape[1]
        if side not in self._levels:
            corners = _random_corners(self.count, side, self.seed, self.patches)
            kept = torch.empty(self.count, self.patches, channels * _PATCH_SIDE**2)
            self._levels[side] = corners, kept
        corners, kept = self._levels[side]
        chunk = slice(self._added, self._added + len(level))
        kept[chunk] = _cut_patches(level, corners[:, chunk]).cpu()

    def normalized(self) -> dict[int, Tensor]:
        """Patches {side: [count * patches, C * 49]} of the levels, finest first, see
        `_normalize_channels`. Raises ValueError unless `count` images have been added.
        """
        if self._added != self.count:
            raise ValueError(f"{self._added} images have been added, not {self.count}")
        return {
            side: _normalize_channels(kept.flatten(0, 1))
            for side, (_, kept) in self._levels.items()
        }


def _normalize_channels(patches: Tensor) -> Tensor:
    """Scale patches [n, C * 49] to mean 0 and standard deviation 1 per channel, over the set, in
    place.
    """
    channels = patches.unflatten(1, (-1, _PATCH_SIDE**2))
    # std_mean, because torch.mean is off by 0.08 over a million values of 200: in a set of one
    # colour that error would be divided by a standard deviation of 0.
    deviation, mean = torch.std_mean(channels, (0, 2), correction=0)
    channels.sub_(mean[:, None]).div_(deviation.clamp(min=1e-8)[:, None])
    return patches


def _sorted_projections(x: Tensor, seed: int, count: int) -> Iterator[Tensor]:
    """Rows x [N, F] projected on `count` random directions and sorted: chunks [n, N], n <= 16.

    The directions are a function of the seed and of F.
    """
    directions = np.random.default_rng(seed).standard_normal((count, x.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for chunk in torch.from_numpy(directions).to(x.dtype).to(x.device).split(_DIRECTIONS_PER_CHUNK):
        yield _sort_rows(chunk @ x.T)


def _sort_rows(rows: Tensor) -> Tensor:
    if rows.device.type != "cpu":
        return rows.sort(dim=1).values
    # NumPy is far faster: torch's sort is stable and returns indices too.
    array = rows.numpy()
    array.sort(axis=1)
    return rows


@full_float32_precision()
def sliced_wasserstein_distance(
    x: Tensor, y: Tensor, seed: int = 0, directions: int = _DIRECTIONS
) -> float:
    """Mean Wasserstein-1 distance of rows x and y [N, F] projected on random directions.

    Rabin et al. 2011. Raises ValueError unless both have the same shape.
    """
    if x.shape != y.shape:
        raise ValueError(f"sets of {list(x.shape)} and {list(y.shape)} cannot be compared")
    pairs = zip(
        _sorted_projections(x, seed, directions),
        _sorted_projections(y, seed, directions),
        strict=True,
    )
    means = torch.cat([(a - b).abs().mean(1) for a, b in pairs])
    return float(means.cpu().double().mean())


def patch_distances(
    real: Mapping[int, Tensor],
    fake: Mapping[int, Tensor],
    device: torch.device,
    seed: int = 0,
    directions: int = _DIRECTIONS,
) -> dict[int, float]:
    """Sliced Wasserstein distance x 1000 per level of patches {side: [N, F]}, on the device."""
    return {
        side: 1000
        * sliced_wasserstein_distance(patches.to(device), fake[side].to(device), seed, directions)
        for side, patches in real.items()
    }


def pyramid_distances(
    real: Tensor,
    fake: Tensor,
    seed: int = 0,
    patches: int = _PATCHES,
    directions: int = _DIRECTIONS,
) -> dict[int, float]:
    """Sliced Wasserstein distance x 1000 per pyramid level, {side: distance}; lower is better.

    Images are uint8 [N, C, S, S], the same number in both sets (Karras et al. 2018, section 5).
    Patches of each set are normalised by their own mean and standard deviation, as in the authors'
    code, so a common shift of colour or contrast goes unseen. Each set has its own random places.
    """

    def all_patches(images: Tensor, seed: int) -> dict[int, Tensor]:
        found = PyramidPatches(len(images), seed, patches)
        found.add(images)
        return found.normalized()

    sets = all_patches(real, seed), all_patches(fake, seed + 1)
    return patch_distances(*sets, real.device, seed, directions)
