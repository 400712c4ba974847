"""The rows of images.npy, written and closed up in place, a few at a time."""

from pathlib import Path
from typing import BinaryIO

import numpy as np

BLOCK = 2**22  # bytes that are held at a time


def create(array: Path, shape: tuple[int, ...]) -> None:
    """A uint8 .npy file of zeros that takes no space yet."""
    with open(array, "wb") as file:
        write_header(file, shape)
        file.truncate(file.tell() + int(np.prod(shape)))


def write(array: Path, first: int, images: np.ndarray) -> None:
    """Write uint8 `images` [n, ...] to the rows from `first` on."""
    with open(array, "r+b") as file:
        file.seek(header_bytes(file) + first * images[0].nbytes)
        file.write(images)


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """The .npy header, whose length is the same for any number of rows."""
    file.seek(0)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def header_bytes(file: BinaryIO) -> int:
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return file.tell()


def close_up(array: Path, good: np.ndarray, row: tuple[int, ...]) -> None:
    """Keep only the `good` rows of a .npy file, in place, in order, and cut off the rest."""
    row_bytes = int(np.prod(row))
    block = max(1, BLOCK // row_bytes)
    with open(array, "r+b") as file:
        start = header_bytes(file)
        # Rows that follow each other move together, towards the front, over what has moved before.
        runs = np.split(good, np.flatnonzero(np.diff(good) != 1) + 1)
        target = 0
        for first, last in ((int(run[0]), int(run[-1])) for run in runs):
            for source in range(first, last + 1, block):
                count = min(block, last + 1 - source)
                if source != target:
                    file.seek(start + source * row_bytes)
                    rows = file.read(count * row_bytes)
                    file.seek(start + target * row_bytes)
                    file.write(rows)
                target += count
        file.truncate(start + target * row_bytes)
        write_header(file, (target, *row))
