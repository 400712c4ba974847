"""How many images have each label, or each combination of labels, in little memory."""

import numpy as np

MAX_ROW_BYTES = 2**22  # of the combinations of attributes that are kept, with their counts
_CHUNK_BYTES = 2**24  # of labels that are read at a time


def count_classes(labels: np.ndarray, names: int) -> np.ndarray:
    """The images of each class, int64 [names], from class indices, int64 [N]."""
    return np.bincount(labels, minlength=names)


def count_attributes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows of uint8 [N, A] in {0, 1}, in ascending order, and how often each occurs.

    Returns uint8 [M, A / 8 rounded up], in bits as `np.packbits` packs them, and int64 [M]. Where
    these would take more than MAX_ROW_BYTES, they are those of random images, as many as fit.
    """
    attributes = labels.shape[1]
    limit = max(1, MAX_ROW_BYTES // (-(-attributes // 8) + 8))
    chunk = max(1, _CHUNK_BYTES // attributes)
    rows, counts = _count_rows(labels[:chunk])
    for start in range(chunk, len(labels), chunk):
        if len(rows) > limit:
            break
        more_rows, more_counts = _count_rows(labels[start : start + chunk])
        rows, places = np.unique(np.concatenate([rows, more_rows]), return_inverse=True)
        merged = np.zeros(len(rows), np.int64)
        np.add.at(merged, places, np.concatenate([counts, more_counts]))
        counts = merged
    if len(rows) > limit:
        some = np.random.default_rng(0).choice(len(labels), limit, replace=False)
        rows, counts = _count_rows(labels[np.sort(some)])
    return rows.view(np.uint8).reshape(len(rows), -1), counts


def _count_rows(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows of uint8 [n, A], and how often each occurs, int64 [m].

    Each row is packed into one byte string, which NumPy sorts many times faster than rows. All are
    equally long, so that the zeros at the end, which NumPy passes over, make no two of them equal.
    """
    packed = np.packbits(labels, axis=1)
    return np.unique(packed.view(f"S{packed.shape[1]}").ravel(), return_counts=True)
