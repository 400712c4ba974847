"""Sliced Wasserstein distance on Laplacian pyramids (Karras et al. 2018, section 5 and appendix).

Every level of the pyramid holds one band of frequencies, so a distance per level says at which
scale the images differ: the first at the side of the image, the last at 16 pixels.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

COARSEST = 16  # side of the last level
PATCH = 7  # side of a descriptor
PATCHES = 128  # descriptors of an image and level
DIRECTIONS = 128  # to project on; the authors average over four times as many
TOGETHER = 16  # directions at a time
BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16


def sides(size: int) -> list[int]:
    """The sides of the levels, finest first: 64 -> [64, 32, 16]. Smaller images have one level."""
    return [size] + (sides(size // 2) if size > COARSEST else [])


def halving(side: int) -> Tensor:
    """The matrix [side/2, side] that smooths a line, mirrored at its ends, and halves it."""
    matrix = np.zeros((side // 2, side))
    for row in range(side // 2):
        for offset, weight in zip(range(-2, 3), BINOMIAL, strict=True):
            place = abs(2 * row + offset)
            matrix[row, min(place, 2 * (side - 1) - place)] += weight
    return torch.from_numpy(matrix).float()


def doubling(side: int) -> Tensor:
    """The matrix [side, side/2] that puts zeros between the samples of a line and smooths that."""
    matrix = np.zeros((side, side // 2))
    for row in range(side):
        for offset, weight in zip(range(-2, 3), BINOMIAL, strict=True):
            place = abs(row + offset)
            place = min(place, 2 * (side - 1) - place)
            if place % 2 == 0:
                matrix[row, place // 2] += 2 * weight
    return torch.from_numpy(matrix).float()


def laplacian(images: Tensor) -> list[Tensor]:
    """The pyramid of images [N, C, S, S] (Burt and Adelson 1983), finest level first.

    Each level is what the next, enlarged, lacks; the last is the image at that size.
    """
    levels = []
    for side in sides(images.shape[-1])[:-1]:
        down, up = halving(side).to(images.device), doubling(side).to(images.device)
        smaller = down @ images @ down.T
        levels.append(images - up @ smaller @ up.T)
        images = smaller
    return [*levels, images]


def descriptors(level: Tensor, seed: int, patches: int = PATCHES) -> Tensor:
    """Patches of 7x7 at random places of a level [N, C, S, S] -> [N * patches, C * 49].

    The places are a function of the seed, of N and of S.
    """
    count, channels, side, _ = level.shape
    rng = np.random.default_rng([seed, side])
    places = rng.integers(side - PATCH + 1, size=(2, count * patches, 1, 1))
    top, left = torch.from_numpy(places).to(level.device)
    image = torch.arange(count, device=level.device).repeat_interleave(patches)[:, None, None]
    steps = torch.arange(PATCH, device=level.device)
    # The channels last, so that one index finds all of them.
    found = level.permute(0, 2, 3, 1)[image, top + steps[:, None], left + steps]
    return found.permute(0, 3, 1, 2).reshape(-1, channels * PATCH**2)


def normalised(patches: Tensor) -> Tensor:
    """Descriptors with mean 0 and deviation 1 in every channel, over all of the set."""
    channels = patches.unflatten(1, (-1, PATCH**2))
    # Torch's plain mean is off by 0.08 for a million values of 200, and all there is may be 200.
    deviation, mean = torch.std_mean(channels, (0, 2), correction=0)
    scaled = (channels - mean[:, None]) / deviation.clamp(min=1e-8)[:, None]
    return scaled.flatten(1)


def projections(x: Tensor, seed: int, count: int = DIRECTIONS) -> Iterator[Tensor]:
    """Rows x [N, F] along random directions, each sorted: some [n, N] at a time, n <= 16.

    The directions are a function of the seed and of F.
    """
    directions = np.random.default_rng(seed).standard_normal((count, x.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for some in torch.from_numpy(directions).to(x).split(TOGETHER):
        yield ordered(some @ x.T)


def ordered(rows: Tensor) -> Tensor:
    """Each row sorted."""
    if rows.device.type != "cpu":
        return rows.sort(dim=1).values
    # Torch keeps the order of equal values and tells where each was: NumPy is far faster.
    array = rows.numpy()
    array.sort(axis=1)
    return rows


def sliced_wasserstein(x: Tensor, y: Tensor, seed: int, directions: int = DIRECTIONS) -> float:
    """Mean distance (Wasserstein-1) of two sets of as many rows [N, F] along random directions.

    Rabin et al. 2011. ValueError where one set has more rows.
    """
    if x.shape != y.shape:
        raise ValueError(f"sets of {list(x.shape)} and {list(y.shape)} cannot be compared")
    both = zip(projections(x, seed, directions), projections(y, seed, directions), strict=True)
    total = sum((a - b).abs().mean(1).double().sum() for a, b in both)
    return float(total) / directions


def distances(
    real: Tensor, fake: Tensor, seed: int = 0, patches: int = PATCHES, directions: int = DIRECTIONS
) -> dict[int, float]:
    """Side of a level -> distance there times 1000, of as many images each, uint8 [N, C, S, S].

    Both sets are normalised by their own mean and deviation, as in the authors' code, so that a
    common shift of colour or contrast is not seen. Each set has places of its own (`descriptors`).
    """
    found = {}
    for a, b in zip(laplacian(real.float()), laplacian(fake.float()), strict=True):
        ours = normalised(descriptors(a, seed, patches))
        theirs = normalised(descriptors(b, seed + 1, patches))
        found[a.shape[-1]] = 1000 * sliced_wasserstein(ours, theirs, seed, directions)
    return found
