"""Reading of LMDB entries by their position in the order of the keys, with liblmdb.

liblmdb does not check what it reads: a damaged file may crash or hang its process. So
`count_entries` and `index_keys` open databases in a child process, and only worker processes may
use a `LmdbReader`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb

from dcgan.data.processes import ChildFailed, ChildNotStarted, stream_from_child
from dcgan.errors import UserError
from dcgan.runtime.progress import progress_bar

# LMDB finds entries by key, not by position. One key in 1,024 is kept, from which the cursor steps
# on: for the 3,033,042 bedrooms of LSUN 2,962 keys, 120 kB, go to each worker, and stepping over
# 1,023 keys takes 0.3 ms.
_KEY_INTERVAL = 1024
_MIN_ENTRY_BYTES = 12  # a node's header, a key and its pointer


class DamagedError(Exception):
    """A database, or an entry of it, cannot be read."""


def data_file(path: Path) -> Path:
    """The file of a database that is a folder or a file."""
    return path / "data.mdb" if path.is_dir() else path


def count_entries(paths: list[Path]) -> list[int]:
    """The number of entries of each database. Raises UserError if one is empty or damaged."""
    counts: list[int] = []
    with _database_errors(paths, counts):
        for count in stream_from_child(_count, paths):
            counts.append(count)
            if not count:
                raise UserError(f"{paths[len(counts) - 1]} is an LMDB without entries")
    return counts


def index_keys(paths: list[Path], total: int) -> list[list[bytes]]:
    """Every 1024th key of each database, `total` being the number of all keys, which are read once.

    liblmdb reads one page of every value too, so this takes minutes for a large database that is
    not in memory. Raises UserError for a damaged one.
    """
    indices: list[list[bytes]] = []
    keys: list[bytes] = []
    with (
        _database_errors(paths, indices),
        progress_bar(total, "listing keys", "key", delay=2, leave=False) as bar,
    ):
        for key in stream_from_child(_every_nth_key, paths):
            if key is None:  # the end of a database
                indices.append(keys)
                keys = []
            else:
                keys.append(key)
                bar.update(_KEY_INTERVAL)
    return indices


class LmdbReader:
    """Reads entries of one database by position. `keys`: those that `index_keys` gives for it."""

    def __init__(self, path: Path, keys: list[bytes]):
        self._path, self._keys = path, keys
        self._open: tuple[lmdb.Environment, lmdb.Transaction, lmdb.Cursor] | None = None
        self._position: int | None = None  # of the cursor

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None, "_position": None}

    def key(self, i: int) -> bytes:
        """The key of entry `i`. Raises DamagedError or OSError."""
        with _lmdb_errors():
            return bytes(self._cursor_at(i).key())

    def value(self, i: int, max_bytes: int) -> bytes:
        """The value of entry `i`. Raises DamagedError or OSError, also if it is too large."""
        with _lmdb_errors():
            value = self._cursor_at(i).value()
            if len(value) > max_bytes:
                raise DamagedError(f"a value of {len(value):,} bytes, more than {max_bytes:,}")
            return bytes(value)

    def _cursor_at(self, i: int) -> lmdb.Cursor:
        if self._open is None:
            environment = _open(self._path)
            transaction = environment.begin(buffers=True)
            self._open = environment, transaction, transaction.cursor()
        cursor, start = self._open[2], i - i % _KEY_INTERVAL
        position, self._position = self._position, None  # unknown if this fails
        if position is None or not start <= position <= i:
            found, position = cursor.set_key(self._keys[i // _KEY_INTERVAL]), start
        else:
            found = True
        while found and position < i:
            found, position = cursor.next(), position + 1
        if not found:
            raise DamagedError("it has changed since its keys were listed")
        self._position = i
        return cursor


def _count(paths: list[Path]) -> Iterator[int]:
    for path in paths:
        with _lmdb_errors(), _open(path) as environment:
            yield environment.stat()["entries"]


def _every_nth_key(paths: list[Path]) -> Iterator[bytes | None]:
    """Every 1024th key of each database, then None."""
    for path in paths:
        with _lmdb_errors(), _open(path) as environment, environment.begin() as transaction:
            entries, count, previous = transaction.stat()["entries"], 0, b""
            for key in transaction.cursor().iternext(values=False):
                # The tree of a damaged file may contain a cycle, which would be followed for ever.
                if key <= previous or count == entries:
                    raise DamagedError("its keys are out of order")
                if count % _KEY_INTERVAL == 0:
                    yield key
                count, previous = count + 1, key
            if count < entries:
                raise DamagedError(f"it holds {count:,} entries of {entries:,}")
        yield None


def _open(path: Path) -> lmdb.Environment:
    """Open a database to read, writing nothing. Raises DamagedError or OSError."""
    with open(data_file(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
    if not size:
        raise DamagedError("the file is empty")
    # The kernel reads ahead (lmdb's default), since packing reads values in order: without that,
    # reading from the disk takes ten times as long.
    with _lmdb_errors():
        environment = lmdb.open(
            str(path), subdir=path.is_dir(), create=False, readonly=True, lock=False, max_readers=1
        )
        last_page, statistics = environment.info()["last_pgno"], environment.stat()
    if (last_page + 1) * statistics["psize"] > size:
        raise DamagedError("it is cut short")
    if statistics["entries"] * _MIN_ENTRY_BYTES > size:
        raise DamagedError(f"{size:,} bytes cannot hold {statistics['entries']:,} entries")
    return environment


@contextmanager
def _lmdb_errors() -> Iterator[None]:
    """Turn the errors of liblmdb into DamagedError."""
    try:
        yield
    except lmdb.Error as error:
        raise DamagedError(str(error).rpartition(": ")[2].rstrip(".")) from error


@contextmanager
def _database_errors(paths: list[Path], done: list[Any]) -> Iterator[None]:
    """Turn ChildFailed and DamagedError into a UserError that names the database being read.

    `done`: a result for each database that has been read before it.
    """
    try:
        yield
    except ChildNotStarted as error:
        raise UserError(f"a process to read {paths[len(done)]} failed: {error}") from error
    except (ChildFailed, DamagedError) as error:
        reason = (
            f"the process that read it failed, {error}" if isinstance(error, ChildFailed) else error
        )
        raise UserError(
            f"cannot read the LMDB {paths[len(done)]}: {reason}. Unpack it again"
        ) from error
