"""Duplicate images of a set: equal in every pixel, or nearly the same."""

from hashlib import sha256

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_MAX_HASH_DISTANCE = 8  # bits, of 64, by which the hashes of near-duplicates may differ
_MAX_THUMBNAIL_RMS = 6  # of 255: root-mean-square difference of the thumbnails
_BLOCK = 512  # images that are compared with all others at a time


def exact_duplicates(images: np.ndarray) -> np.ndarray:
    """Which of uint8 [N, S, S, C] equal an earlier one in every pixel: bool [N]."""
    digests = np.array([sha256(image.tobytes()).digest() for image in images], dtype="S32")
    _, first = np.unique(digests, return_index=True)
    repeated = np.ones(len(images), bool)
    repeated[first] = False
    return repeated


def near_duplicates(images: np.ndarray) -> np.ndarray:
    """Which of uint8 [N, S, S, C] look like an earlier one: bool [N].

    Two comparisons must agree: a perceptual hash, which ignores brightness, and thumbnails, which
    differ where the same outlines have other colours.
    """
    hashes, small = _difference_hash(images), _thumbnails(images)
    squares = small.square().sum(1)
    similar = np.zeros(len(images), bool)
    for start in range(0, len(images), _BLOCK):
        rows = slice(start, start + _BLOCK)
        bits = np.bitwise_count(hashes[rows, None] ^ hashes)
        distances = squares[rows, None] + squares - 2 * small[rows] @ small.T
        close = (distances < _MAX_THUMBNAIL_RMS**2 * small.shape[1]).numpy()
        similar[rows] = np.tril((bits <= _MAX_HASH_DISTANCE) & close, start - 1).any(1)
    return similar


def _difference_hash(images: np.ndarray) -> np.ndarray:
    """dHash: uint8 [N, S, S, C] -> uint64 [N].

    A bit is 1 where one of 8 x 8 cells of the grey image is brighter than its right neighbour.
    """
    grey = _area_resize(images, (8, 9)).mean(1)  # [N, 8, 9]
    brighter = (grey[:, :, :-1] > grey[:, :, 1:] + 0.5).flatten(1).numpy()
    return np.packbits(brighter, axis=1).view(np.uint64)[:, 0]


def _thumbnails(images: np.ndarray) -> Tensor:
    """uint8 [N, S, S, C] -> float [N, 64 C] in [-127.5, 127.5]."""
    return _area_resize(images, (8, 8)).flatten(1) - 127.5


def _area_resize(images: np.ndarray, size: tuple[int, int]) -> Tensor:
    """uint8 [N, S, S, C] -> float [N, C, *size] in [0, 255], the mean over each output pixel."""
    blocks = (images[start : start + _BLOCK] for start in range(0, len(images), _BLOCK))
    return torch.cat(
        [
            F.interpolate(torch.from_numpy(b).permute(0, 3, 1, 2).float(), size=size, mode="area")
            for b in blocks
        ]
    )
