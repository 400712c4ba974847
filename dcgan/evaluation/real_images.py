"""The real images of a packed folder that generated images are compared with."""

from collections.abc import Iterator

import numpy as np

from dcgan import sampling
from dcgan.config import MIN_IMAGES
from dcgan.data import PackedImages, row_reader
from dcgan.errors import UsageError, UserError
from dcgan.networks import Generator


def choose_images(
    packed: PackedImages, count: int | None, among: np.ndarray | None = None
) -> np.ndarray:
    """Indices of `count` random images, or of all; the choice depends on their number alone.

    `among`: bool [N], the images to choose from. Raises UserError for fewer than 10 images.
    """
    order = np.random.default_rng(0).permutation(len(packed))
    order = order[:count] if among is None else order[among[order]][:count]
    if len(order) < MIN_IMAGES:
        raise UserError(f"{packed.folder}: {len(order)} images are too few to compare with")
    return order


def read_images(packed: PackedImages, indices: np.ndarray) -> Iterator[np.ndarray]:
    """The images of these indices in chunks, uint8 [n, S, S, C], see `sampling.batch_size`."""
    read, count = row_reader(packed.images), sampling.batch_size(packed.size)
    for start in range(0, len(indices), count):
        yield read(indices[start : start + count])


def check_same_shape(G: Generator, packed: PackedImages) -> None:
    """Raise UsageError unless the packed images have the size and channels of those G makes."""
    for name in ("size", "channels"):
        ours, theirs = getattr(G, name), getattr(packed, name)
        if ours != theirs:
            raise UsageError(f"{packed.folder} has images of {name} {theirs}, and G makes {ours}")


def match_label(packed: PackedImages, G: Generator, label: str | None) -> np.ndarray:
    """Whether each image has the labels that G is asked for, bool [N].

    All True without `label`, or where the images have no labels. Raises UsageError for labels that
    G was not trained with or that no image has.
    """
    wanted = sampling.parse_label(G, label)
    matches = np.ones(len(packed), bool)
    if G.labels is None or not packed.label_names:
        return matches
    for index, value in wanted.items():
        name = G.labels.names[index]
        if name not in packed.label_names:
            raise UsageError(f"--label {label}: no image in {packed.folder} has label {name}")
        matches &= packed.has_label(packed.label_names.index(name)) == value
    return matches
