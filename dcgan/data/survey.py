"""What a set of images is like, and what in it does a GAN no good."""

from collections import Counter
from hashlib import sha256

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.data.decoding.image import opened
from dcgan.data.sources.base import EncodedSource

BITS = 8  # of 64, in which the hashes of two near-duplicates may differ
LEVELS = 6  # of 255, by which their thumbnails may differ, root mean square
BLOCK = 512  # images that are compared with all others at a time


def sizes_and_modes(source: EncodedSource, indices: np.ndarray) -> tuple[np.ndarray, Counter]:
    """Widths and heights [n, 2] and the modes of those images whose header can be read."""
    sizes, modes = [], Counter()
    for i in indices:
        try:
            with source.open(int(i)) as file, opened(file) as image:
                sizes.append(image.size)
                modes[image.mode] += 1
        # Packing says what is wrong with these.
        except Exception:
            continue
    return np.array(sizes).reshape(-1, 2), modes


def constant(images: np.ndarray) -> np.ndarray:
    """Which of uint8 [N, S, S, C] show a single colour: bool [N]."""
    return (images == images[:, :1, :1]).all((1, 2, 3))


def copies(images: np.ndarray) -> np.ndarray:
    """Which of uint8 [N, S, S, C] equal an earlier one in every pixel: bool [N]."""
    digests = np.array([sha256(image.tobytes()).digest() for image in images], dtype="S32")
    _, first = np.unique(digests, return_index=True)
    again = np.ones(len(images), bool)
    again[first] = False
    return again


def near_copies(images: np.ndarray) -> np.ndarray:
    """Which of uint8 [N, S, S, C] look like an earlier one: bool [N].

    They do where both agree: a perceptual hash, which ignores brightness, and thumbnails, which
    tell apart what has the same outlines in other colours.
    """
    hashes, small = difference_hash(images), thumbnails(images)
    squares = small.square().sum(1)
    similar = np.zeros(len(images), bool)
    for start in range(0, len(images), BLOCK):
        rows = slice(start, start + BLOCK)
        bits = np.bitwise_count(hashes[rows, None] ^ hashes)
        apart = squares[rows, None] + squares - 2 * small[rows] @ small.T
        alike = (bits <= BITS) & (apart < LEVELS**2 * small.shape[1]).numpy()
        similar[rows] = np.tril(alike, start - 1).any(1)
    return similar


def difference_hash(images: np.ndarray) -> np.ndarray:
    """dHash: uint8 [N, S, S, C] -> uint64 [N], a bit for each of 8 x 8 steps to the right, whether
    it leads to a darker place.
    """
    grey = scaled(images, (8, 9)).mean(1)  # [N, 8, 9]
    darker = (grey[:, :, :-1] > grey[:, :, 1:] + 0.5).flatten(1).numpy()
    return np.packbits(darker, axis=1).view(np.uint64)[:, 0]


def thumbnails(images: np.ndarray) -> Tensor:
    """uint8 [N, S, S, C] -> float [N, 64 C], about zero."""
    return scaled(images, (8, 8)).flatten(1) - 127.5


def scaled(images: np.ndarray, size: tuple[int, int]) -> Tensor:
    """uint8 [N, S, S, C] -> float [N, C, *size], means over areas, a block at a time."""
    blocks = (images[start : start + BLOCK] for start in range(0, len(images), BLOCK))
    return torch.cat(
        [
            F.interpolate(torch.from_numpy(b).permute(0, 3, 1, 2).float(), size=size, mode="area")
            for b in blocks
        ]
    )


def balance(labels: np.ndarray, names: tuple[str, ...]) -> list[tuple[str, float]]:
    """The share of images in every class, or with every attribute, the rarest first."""
    counts = labels.sum(0) if labels.ndim == 2 else np.bincount(labels, minlength=len(names))
    shares = zip(names, (counts / len(labels)).tolist(), strict=True)
    return sorted(shares, key=lambda pair: pair[1])
