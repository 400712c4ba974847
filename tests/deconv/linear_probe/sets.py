"""Small labelled data sets for the tests beside this file."""

from pathlib import Path

import numpy as np

from dcgan.data.packed import PackedImages, open_packed
from tests.conftest import write_packed


def bars(count: int, size: int = 16, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a light bar in one of three places, which is the class of the image."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 120, (count, size, size, channels))
    for image, label in zip(images, labels, strict=True):
        image[:, 1 + 5 * label : 4 + 5 * label] += 110
    return images.astype(np.uint8), labels.astype(np.int64)


def pack_bars(folder: Path, count: int = 300, size: int = 16, channels: int = 3) -> PackedImages:
    images, labels = bars(count, size, channels)
    return open_packed(write_packed(folder, images, labels, ("left", "middle", "right"), "class"))


def pack_attributes(folder: Path, count: int = 300, size: int = 16) -> PackedImages:
    """Noise that is bright or not, and has a bar or not, independently; "rare" is another bar."""
    rng = np.random.default_rng(1)
    labels = (rng.random((count, 3)) < [0.5, 0.5, 0.2]).astype(np.uint8)
    images = rng.integers(0, 60, (count, size, size, 3)) + 60 * labels[:, :1, None, None]
    images[:, :, 2:6] += 90 * labels[:, 1, None, None, None]
    images[:, 10:14] += 90 * labels[:, 2, None, None, None]
    names = ("bright", "bar", "rare")
    return open_packed(
        write_packed(folder, images.clip(0, 255).astype(np.uint8), labels, names, "attributes")
    )
