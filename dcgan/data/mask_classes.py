"""The classes of the masks that have been packed: their names, and those that no pixel has."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dcgan.data.packed_files import IGNORED, read_array
from dcgan.data.rows import row_reader
from dcgan.errors import UserError

_BLOCK_BYTES = 2**22  # counted at a time
_MAX_NAMED = 8  # classes without a pixel


def count_values(masks: Path) -> np.ndarray:
    """The number of pixels with each value in a masks.npy: int64 [256]."""
    array = read_array(masks)
    read, block = row_reader(array), max(1, _BLOCK_BYTES // array[0].nbytes)
    counts = np.zeros(256, np.int64)
    for first in range(0, len(array), block):
        rows = read(np.arange(first, min(first + block, len(array))))
        counts += np.bincount(rows.ravel(), minlength=256)
    return counts


def name_classes(counts: np.ndarray, declared: Sequence[str]) -> tuple[str, ...]:
    """The names declared; without any the numbers from 0 to the largest value of a pixel.

    Raises UserError if that is no more than one class.
    """
    if declared:
        return tuple(declared)
    found = np.flatnonzero(counts[:IGNORED])
    if not found.size or found[-1] == 0:
        raise UserError(
            f"the masks have no class but 0, and {IGNORED} is ignored: number the classes 0, 1, ..."
        )
    return tuple(map(str, range(found[-1] + 1)))


def remark_unused(counts: np.ndarray, names: Sequence[str]) -> list[str]:
    """A line for the user about classes that no pixel has; none if all are in use."""
    unused = [name for name, count in zip(names, counts, strict=False) if not count]
    if not unused:
        return []
    more = f" and {len(unused) - _MAX_NAMED} more" if len(unused) > _MAX_NAMED else ""
    return [f"no pixel of a mask is of class {', '.join(unused[:_MAX_NAMED])}{more}"]
