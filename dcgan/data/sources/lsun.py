"""LSUN: scene photographs, one LMDB for each category and split."""

import io
import os
import shlex
from bisect import bisect_right
from contextlib import AbstractContextManager
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dcgan.config import DataOptions
from dcgan.data.decoding.opening import BadImage
from dcgan.data.sources.base import MAX_BYTES, EncodedSource, file_hash
from dcgan.data.sources.lmdb_reader import (
    DamagedError,
    LmdbReader,
    count_entries,
    data_file,
    index_keys,
)
from dcgan.errors import UsageError, UserError, printable
from dcgan.runtime.downloads import check_download

_SUFFIXES = {
    "train": ["_train_lmdb"],
    "valid": ["_val_lmdb"],
    "all": ["_train_lmdb", "_val_lmdb"],
}
_DATA = "data.mdb"


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
    """The `lsun` source: one LMDB, or a folder of LMDBs: `bedroom_train_lmdb`, or `cat`.

    The categories of objects, such as `cat`, have no split and belong to train. Two or more
    categories become labels. `--split all` is train and valid; test has no categories. Raises
    UserError if an LMDB is missing or damaged, UsageError for --classes with a single LMDB of
    another name, or with test.
    """
    if root.is_file() or os.path.lexists(root / _DATA):
        category = _category(root.resolve().name)
        if options.classes and set(options.classes) != {category}:
            raise UsageError(
                f"{root} is a single LMDB, of {category}: --classes needs the folder around it"
            )
        return Lsun([_existing(root)])
    if options.split == "test":
        if options.classes:
            raise UsageError("the test split of lsun has no categories: leave out --classes")
        return Lsun([_existing(root / "test_lmdb")])

    suffixes = _SUFFIXES[options.split]
    names = {path.name for path in root.iterdir() if not path.name.startswith(".")}
    objects = {name for name in names if os.path.lexists(root / name / _DATA)}
    objects = {name for name in objects if not name.endswith("_lmdb")}
    found = {name.removesuffix(s) for name in names for s in suffixes if name.endswith(s)}
    if options.split != "valid":
        found |= objects
    categories = sorted(set(options.classes) or found)
    if not categories:
        raise UserError(_nothing_found(root, names, objects, suffixes[0]))
    databases, labels = [], []
    for label, category in enumerate(categories):
        candidates = [category + suffix for suffix in suffixes]
        if category in objects and options.split != "valid":
            candidates.append(category)
        existing = [_existing(root / name) for name in candidates if name in names]
        databases += existing or [_existing(root / candidates[0])]
        labels += [label] * len(existing)
    source = Lsun(databases)
    if whole := sorted(objects.intersection(categories)):
        source.notes.append(f"no split of {', '.join(map(printable, whole))}: all images are used")
    if len(categories) > 1:
        source.labels = np.repeat(np.array(labels, np.int64), np.diff(source.starts))
        source.label_names = tuple(map(printable, categories))
    return source


def _category(name: str) -> str:
    for suffix in _SUFFIXES["all"]:
        name = name.removesuffix(suffix)
    return name


def _nothing_found(root: Path, names: set[str], objects: set[str], suffix: str) -> str:
    """Why no category is found, and what to do."""
    if objects:
        listed = ", ".join(map(printable, sorted(objects)[:3]))
        return f"{listed} in {root} has no valid split: --split is train or all"
    if zips := sorted(name for name in names if name.endswith(".zip")):
        return (
            f"no LMDB in {root}, but {printable(zips[0])}: unpack it there, with "
            f"`unzip {shlex.quote(printable(zips[0]))}`"
        )
    if inner := min(root.glob(f"*/*/{_DATA}"), default=None):
        return f"no LMDB in {root}, but {inner}: give {inner.parent.parent} as --root"
    return f"no {suffix} folder in {root}, e.g. bedroom{suffix}, and no folder with a {_DATA}"


def _existing(path: Path) -> Path:
    """The path of an LMDB, whose file is there. Raises UserError."""
    file = data_file(path)
    if file.is_file():
        check_download(file)
        with open(file, "rb") as opened:
            if opened.read(4) == b"PK\3\4":
                raise UserError(f"{file} is a zip: unpack it, and give the folder that comes out")
        return path
    if os.path.lexists(file):
        what = "a folder" if file.is_dir() else "no regular file"
        raise UserError(f"{file} is {what}: LSUN's is a file. Unpack {path.name}.zip again")
    name = printable(path.name)
    for category_zip in (
        path.with_name(f"{path.name}.zip"),
        path.with_name(f"{_category(name)}.zip"),
    ):
        if category_zip.is_file():
            raise UserError(f"no LMDB at {path}: unpack {category_zip} there")
    either = f"{name}.zip"
    if name.endswith(_SUFFIXES["train"][0]):
        either += f", or {printable(_category(path.name))}.zip of its objects,"
    raise UserError(f"no LMDB at {path}; unpack LSUN's {either} there")
