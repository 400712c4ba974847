"""Rows of images.npy: written, removed in place and read, a few at a time.

Used instead of `np.load(mmap_mode="r")`, with which pages that are read count as resident memory
(24 MB for 2,000 images of 64x64), and a disk error or a truncated file ends the process by SIGBUS.
"""

import mmap
import os
import weakref
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dcgan.errors import UserError

_BLOCK_BYTES = 2**22  # held in memory at a time


def create_array(array: Path, shape: tuple[int, ...]) -> None:
    """Write a uint8 .npy file of zeros, sparse: it takes no space on the disk yet."""
    with open(array, "wb") as file:
        _write_header(file, shape)
        file.truncate(file.tell() + int(np.prod(shape)))


def write_rows(array: Path, first: int, images: np.ndarray) -> None:
    """Write uint8 `images` [n, ...] to the rows `first` to `first + n - 1`."""
    with open(array, "r+b") as file:
        file.seek(_header_bytes(file) + first * images[0].nbytes)
        file.write(images.data)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the header of a uint8 .npy file. Its length is the same for any number of rows."""
    file.seek(0)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _header_bytes(file: BinaryIO) -> int:
    """The length of the header of a .npy file; reads past it."""
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return file.tell()


def keep_rows(array: Path, good: np.ndarray, row_shape: tuple[int, ...]) -> None:
    """Keep only the rows `good` (ascending indices) of a uint8 .npy file, and truncate it."""
    row_bytes = int(np.prod(row_shape))
    block = max(1, _BLOCK_BYTES // row_bytes)
    with open(array, "r+b") as file:
        start = _header_bytes(file)
        # Runs of consecutive rows move to the front, over rows that have been moved already.
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
        _write_header(file, (target, *row_shape))


class RowReader:
    """A function from indices [n] to the rows [n, ...] of an array."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        return self.array[indices]

    def prefetch(self, indices: np.ndarray) -> None:
        """Request rows that will be read soon, without waiting for them."""


def row_reader(array: np.ndarray) -> RowReader:
    """A reader of the rows of an array.

    Those of a memory-mapped array are read from its file. Reading raises UserError if the disk
    fails or the file has been cut short, and IndexError for an index outside of the array.
    """
    if (
        isinstance(array, np.memmap)
        and isinstance(array.base, mmap.mmap)  # a view does not know its offset in the file
        and array.flags.c_contiguous
        and array.mode != "c"  # its changes are not in the file
        and array.filename  # a temporary file may have no name
        and hasattr(os, "preadv")
    ):
        return _FileReader(array, array.filename)
    return RowReader(array)


class _FileReader(RowReader):
    """Reads rows of a memory-mapped array from its file."""

    def __init__(self, array: np.memmap, path: str):
        super().__init__(array)
        self.path, self.offset = path, array.offset
        self.row_bytes = array[0].nbytes
        self.row_shape, self.dtype = array.shape[1:], array.dtype
        self.positions = range(len(array))  # translates negative indices and checks the bounds
        self.descriptor = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        self.prefetch(indices)
        rows = np.empty((len(indices), *self.row_shape), self.dtype)
        for row, i in zip(rows, indices.tolist(), strict=True):
            self._fill(memoryview(row).cast("B"), self.offset + self.positions[i] * self.row_bytes)
        return rows

    def _fill(self, buffer: memoryview, offset: int) -> None:
        """Read from the offset until the buffer is full: network disks may give less at a time."""
        while buffer:
            try:
                count = os.preadv(self.descriptor, [buffer], offset)
            except OSError as error:
                raise UserError(f"cannot read {self.path}: {error.strerror}") from error
            if not count:
                raise UserError(f"{self.path} has been cut short: copy or pack it again")
            buffer, offset = buffer[count:], offset + count

    def prefetch(self, indices: np.ndarray) -> None:
        """Request rows all at once: one after another, each would wait for the disk anew."""
        if not hasattr(os, "posix_fadvise"):
            return
        rows = sorted(self.positions[i] for i in indices.tolist())
        with suppress(OSError):  # it is advice
            for first, count in _runs(rows):
                offset, length = self.offset + first * self.row_bytes, count * self.row_bytes
                os.posix_fadvise(self.descriptor, offset, length, os.POSIX_FADV_WILLNEED)


def _runs(rows: list[int]) -> Iterator[tuple[int, int]]:
    """(first row, number of rows) of each run of consecutive rows in an ascending list."""
    starts = [i for i, row in enumerate(rows) if i == 0 or row > rows[i - 1] + 1]
    for start, end in pairwise([*starts, len(rows)]):
        yield rows[start], rows[end - 1] + 1 - rows[start]
