"""LSUN: scene photographs, as one LMDB for every category and split."""

import functools
import io
from bisect import bisect_right
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import lmdb
import numpy as np

from dcgan.data.decode import BadImage
from dcgan.data.raw import EncodedSource, file_hash, printable
from dcgan.errors import UsageError, UserError
from dcgan.options import DataOptions

SUFFIXES = {"train": ("_train_lmdb",), "valid": ("_val_lmdb",)}
SUFFIXES["all"] = SUFFIXES["train"] + SUFFIXES["valid"]

# Of three million keys every 256th is kept: a reader finds that one, and steps on from there.
STRIDE = 256


class Lsun(EncodedSource):
    """The values of one or more LMDBs, each an encoded image, in the order of their keys."""

    def __init__(self, databases: list[Path]):
        super().__init__()
        self.databases = databases
        self.anchors: list[list[bytes]] = []
        self.starts = [0]
        for path in databases:
            anchors, count = list_keys(path)
            self.anchors.append(anchors)
            self.starts.append(self.starts[-1] + count)
        self.cursor: lmdb.Cursor | None = None
        self.position = -1

    def __len__(self) -> int:
        return self.starts[-1]

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "cursor": None, "position": -1}

    def name(self, i: int) -> str:
        database = self.databases[self.database_of(i)].name
        return printable(f"{database}/{self.cursor_at(i).key().decode(errors='backslashreplace')}")

    def fingerprint(self) -> str:
        return file_hash(map(data_file, self.databases))

    def open(self, i: int) -> AbstractContextManager[BinaryIO]:
        return io.BytesIO(self.cursor_at(i).value())

    def database_of(self, i: int) -> int:
        return bisect_right(self.starts, i) - 1

    def cursor_at(self, i: int) -> lmdb.Cursor:
        """The cursor on the entry of image `i`: a step where it stood on the one before."""
        number = self.database_of(i)
        first = self.starts[number]
        found = True
        if self.cursor is None or i != self.position + 1 or i == first:
            anchor, steps = divmod(i - first, STRIDE)
            self.cursor = environment(self.databases[number]).begin().cursor()
            found = self.cursor.set_key(self.anchors[number][anchor])
        elif i != self.position:
            steps = 1
        self.position = i
        if not (found and all(self.cursor.next() for _ in range(steps))):
            self.position = -1
            raise BadImage("no longer there")
        return self.cursor


@functools.cache
def environment(path: Path) -> lmdb.Environment:
    """The LMDB at `path`. A process may open each only once, so it stays open."""
    try:
        database = lmdb.open(
            str(path),
            subdir=path.is_dir(),
            readonly=True,
            create=False,
            lock=False,
            readahead=False,
        )
        pages = database.info()["last_pgno"] + 1
        whole = pages * database.stat()["psize"]
    except lmdb.Error as error:
        raise UserError(f"{path} is not an LMDB: {error}") from error
    # Reading a page that is mapped beyond the end of the file would kill the process.
    if data_file(path).stat().st_size < whole:
        raise UserError(f"{path} is cut short: its pages are {whole:,} bytes. Unpack it again")
    return database


def list_keys(path: Path) -> tuple[list[bytes], int]:
    """Every STRIDE-th key of an LMDB, and how many there are. No value is read."""
    with environment(path).begin() as transaction:
        anchors, count = [], 0
        for key in transaction.cursor().iternext(keys=True, values=False):
            if count % STRIDE == 0:
                anchors.append(key)
            count += 1
    if not count:
        raise UserError(f"{path} is an LMDB without entries")
    return anchors, count


def open_lsun(options: DataOptions, root: Path) -> Lsun:
    """The `lsun` source: a folder of `bedroom_train_lmdb` and the like, or one of those.

    Several categories are labelled. `--split all` is train and valid; test has no categories.
    Raises UserError where an LMDB is missing or damaged, UsageError for categories of no use.
    """
    if data_file(root).is_file():
        if options.classes:
            raise UsageError(f"{root} is a single LMDB: --classes picks from the folder around it")
        return Lsun([root])
    if options.split == "test":
        if options.classes:
            raise UsageError("the test split of lsun has no categories: leave out --classes")
        return Lsun([existing(root / "test_lmdb")])

    suffixes = SUFFIXES[options.split]
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
        there = [root / name for name in names if data_file(root / name).is_file()]
        databases += there or [existing(root / names[0])]
        labels += [label] * len(there)
    source = Lsun(databases)
    if len(categories) > 1:
        source.labels = np.repeat(np.array(labels, np.int64), np.diff(source.starts))
        source.label_names = tuple(categories)
    return source


def data_file(path: Path) -> Path:
    return path / "data.mdb" if path.is_dir() else path


def existing(path: Path) -> Path:
    if not data_file(path).is_file():
        raise UserError(f"no LMDB at {path}; unpack LSUN's {path.name}.zip there")
    return path
