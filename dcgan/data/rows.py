"""The rows of images.npy, written, closed up in place and read, a few at a time."""

import mmap
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dcgan.errors import UserError

_BLOCK_BYTES = 2**22  # bytes that are held at a time


def create_array(array: Path, shape: tuple[int, ...]) -> None:
    """A uint8 .npy file of zeros that takes no space yet."""
    with open(array, "wb") as file:
        write_npy_header(file, shape)
        file.truncate(file.tell() + int(np.prod(shape)))


def write_rows(array: Path, first: int, images: np.ndarray) -> None:
    """Write uint8 `images` [n, ...] to the rows from `first` on."""
    with open(array, "r+b") as file:
        file.seek(_header_bytes(file) + first * images[0].nbytes)
        file.write(images)


def write_npy_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """The .npy header, whose length is the same for any number of rows."""
    file.seek(0)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _header_bytes(file: BinaryIO) -> int:
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return file.tell()


def keep_rows(array: Path, good: np.ndarray, row: tuple[int, ...]) -> None:
    """Keep only the `good` rows of a .npy file, in place, in order, and cut off the rest."""
    row_bytes = int(np.prod(row))
    block = max(1, _BLOCK_BYTES // row_bytes)
    with open(array, "r+b") as file:
        start = _header_bytes(file)
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
        write_npy_header(file, (target, *row))


def row_reader(array: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function from indices [n] to the rows [n, ...] of an array.

    The rows of a mapped file are read from the file: pages touched through the mapping would count
    as resident memory until it holds all of them, and what kills a process there, a failing disk
    or a file cut short, is a UserError here.
    """
    # A view of a mapped array does not know where in the file it begins.
    whole = isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap)
    # What is changed in mode "c" is not in the file, and a temporary file may have no name.
    in_file = whole and array.flags.c_contiguous and array.mode != "c" and array.filename
    return _FileReader(array) if in_file and hasattr(os, "preadv") else array.__getitem__


class _FileReader:
    def __init__(self, array: np.memmap):
        self.file, self.start = array.filename, array.offset
        self.row, self.dtype = array.shape[1:], array.dtype
        self.places = range(len(array))  # of which -1 is the last, and beyond which nothing is
        self.descriptor = os.open(self.file, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        rows = np.empty((len(indices), *self.row), self.dtype)
        for row, i in zip(rows, indices.tolist(), strict=True):
            place = self.start + self.places[i] * row.nbytes
            try:
                whole = os.preadv(self.descriptor, [row], place) == row.nbytes
            except OSError as error:
                raise UserError(f"cannot read {self.file}: {error.strerror}") from error
            if not whole:
                raise UserError(f"{self.file} has been cut short: pack the images again")
        return rows
