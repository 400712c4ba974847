"""The classes of the masks that have been packed: their names, and those that no pixel has."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dcgan.data.packed_files import IGNORED, read_array
from dcgan.data.rows import row_reader
from dcgan.errors import UserError

_BLOCK_BYTES = 2**22  # counted at a time
_MAX_NAMED = 8  # classes without a pixel


def name_classes(masks: Path, declared: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The names of the classes in a masks.npy, and remarks for the user about those without pixels.

    Without names declared they are the numbers from 0 to the largest value of a pixel. Raises
    UserError if that is no more than one class.
    """
    counts = _count_values(read_array(masks))[:IGNORED]
    names = tuple(declared) or tuple(map(str, range(int(counts.nonzero()[0].max(initial=0)) + 1)))
    if len(names) < 2:
        raise UserError(
            f"the masks have no class but 0, and {IGNORED} is ignored: number the classes 0, 1, ..."
        )
    unused = [name for name, count in zip(names, counts, strict=False) if not count]
    if not unused:
        return names, []
    more = f" and {len(unused) - _MAX_NAMED} more" if len(unused) > _MAX_NAMED else ""
    return names, [f"no pixel of a mask is of class {', '.join(unused[:_MAX_NAMED])}{more}"]


def _count_values(masks: np.ndarray) -> np.ndarray:
    """The number of pixels with each value: int64 [256]."""
    read, block = row_reader(masks), max(1, _BLOCK_BYTES // masks[0].nbytes)
    counts = np.zeros(256, np.int64)
    for first in range(0, len(masks), block):
        rows = read(np.arange(first, min(first + block, len(masks))))
        counts += np.bincount(rows.ravel(), minlength=256)
    return counts
