"""Statistics of a set of images: sizes, colour modes, single-colour images, label frequencies."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from dcgan.data.decoding.opening import open_image
from dcgan.data.processes import ChildFailed, ChildNotStarted, stream_from_child
from dcgan.data.sources.base import EncodedSource
from dcgan.errors import UserError


def sizes_and_modes(source: EncodedSource, indices: np.ndarray) -> tuple[np.ndarray, Counter[str]]:
    """Widths and heights [n, 2] and the Pillow modes of the images whose header can be read.

    Raises UserError if an isolated source crashes the process that reads it.
    """
    headers = _headers(source, indices)
    if source.isolated:
        source.build_index()
        headers = stream_from_child(_headers, source, indices)
    sizes: list[tuple[int, int]] = []
    modes: Counter[str] = Counter()
    try:
        for size, mode in headers:
            sizes.append(size)
            modes[mode] += 1
    except ChildNotStarted as failure:
        raise UserError(f"a process to read images failed: {failure}") from failure
    except ChildFailed as failure:
        raise UserError(
            f"a process that read images failed: {failure}, {source.crash_hint}"
        ) from failure
    return np.array(sizes).reshape(-1, 2), modes


def _headers(source: EncodedSource, indices: np.ndarray) -> Iterator[tuple[tuple[int, int], str]]:
    for i in indices:
        try:
            with source.open(int(i)) as file, open_image(file) as image:
                header = image.size, image.mode
        except Exception:  # packing reports the images that cannot be read
            continue
        yield header


def single_colour(images: np.ndarray) -> np.ndarray:
    """Which of uint8 [N, S, S, C] show a single colour: bool [N]."""
    return (images == images[:, :1, :1]).all((1, 2, 3))


def label_shares(labels: np.ndarray, names: tuple[str, ...]) -> list[tuple[str, float]]:
    """The share of images, 0 to 1, in each class or with each attribute, the rarest first.

    labels: int64 [N] class indices, or uint8 [N, A] attributes in {0, 1}.
    """
    counts = labels.sum(0) if labels.ndim == 2 else np.bincount(labels, minlength=len(names))
    shares = zip(names, (counts / len(labels)).tolist(), strict=True)
    return sorted(shares, key=lambda pair: pair[1])
