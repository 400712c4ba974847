"""LSUN: scene photographs, one LMDB for each category and split."""

import io
from bisect import bisect_right
from contextlib import AbstractContextManager
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dcgan.config import DataOptions
from dcgan.data.decoding.image import BadImage
from dcgan.data.sources.base import MAX_BYTES, EncodedSource, file_hash
from dcgan.data.sources.lmdb_reader import (
    DamagedError,
    LmdbReader,
    count_entries,
    data_file,
    index_keys,
)
from dcgan.errors import UsageError, UserError, printable

_SUFFIXES = {
    "train": ["_train_lmdb"],
    "valid": ["_val_lmdb"],
    "all": ["_train_lmdb", "_val_lmdb"],
}


class Lsun(EncodedSource):
    """The encoded images of one or more LMDBs, each in the order of its keys.

    Raises UserError for an LMDB that is damaged or empty.
    """

    isolated = True

    def __init__(self, paths: list[Path]):
        super().__init__()
        self.paths = paths
        self.starts = [0, *accumulate(count_entries(paths))]
        self.readers: list[LmdbReader] = []
        where = str(paths[0]) if len(paths) == 1 else f"an LMDB in {paths[0].parent}"
        self.crash_hint = (
            f"perhaps because {where} is damaged (unpack it again), "
            "or because memory is full (try fewer --workers)"
        )

    def __len__(self) -> int:
        return self.starts[-1]

    def build_index(self) -> None:
        if not self.readers:
            indices = index_keys(self.paths, len(self))
            self.readers = list(map(LmdbReader, self.paths, indices))

    def name(self, i: int) -> str:
        number, entry = self._locate(i)
        try:
            key = self.readers[number].key(entry).decode(errors="backslashreplace")
        except (DamagedError, OSError):
            return self.unread_name(i)
        return printable(f"{self.paths[number].name}/{key}")

    def unread_name(self, i: int) -> str:
        number, entry = self._locate(i)
        return printable(f"{self.paths[number].name}/entry {entry}")

    def fingerprint(self) -> str:
        return file_hash(map(data_file, self.paths))

    def open(self, i: int) -> AbstractContextManager[BinaryIO]:
        number, entry = self._locate(i)
        try:
            return io.BytesIO(self.readers[number].value(entry, MAX_BYTES))
        except DamagedError as error:
            raise BadImage(f"damaged in the LMDB: {error}") from error

    def _locate(self, i: int) -> tuple[int, int]:
        """The database of image `i`, and the position in it."""
        number = bisect_right(self.starts, i) - 1
        return number, i - self.starts[number]


def open_lsun(options: DataOptions, root: Path) -> Lsun:
    """The `lsun` source: one LMDB, or a folder of LMDBs such as `bedroom_train_lmdb`.

    Two or more categories become labels. `--split all` is train and valid; test has no categories.
    Raises UserError if an LMDB is missing or damaged, UsageError for --classes with a single LMDB
    or with test.
    """
    if data_file(root).is_file():
        if options.classes:
            raise UsageError(f"{root} is a single LMDB: --classes needs the folder around it")
        return Lsun([root])
    if options.split == "test":
        if options.classes:
            raise UsageError("the test split of lsun has no categories: leave out --classes")
        return Lsun([_existing(root / "test_lmdb")])

    suffixes = _SUFFIXES[options.split]
    found = {
        path.name.removesuffix(suffix)
        for suffix in suffixes
        for path in root.glob(f"*{suffix}")
        if data_file(path).is_file()
    }
    categories = sorted(set(options.classes) or found)
    if not categories:
        raise UserError(f"no {suffixes[0]} folder in {root}, e.g. bedroom{suffixes[0]}")
    databases, labels = [], []
    for label, category in enumerate(categories):
        names = [category + suffix for suffix in suffixes]
        existing = [root / name for name in names if data_file(root / name).is_file()]
        databases += existing or [_existing(root / names[0])]
        labels += [label] * len(existing)
    source = Lsun(databases)
    if len(categories) > 1:
        source.labels = np.repeat(np.array(labels, np.int64), np.diff(source.starts))
        source.label_names = tuple(categories)
    return source


def _existing(path: Path) -> Path:
    if not data_file(path).is_file():
        raise UserError(f"no LMDB at {path}; unpack LSUN's {path.name}.zip there")
    return path
