"""Locks on folders, which end with the process that holds them, even if it is killed."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from dcgan.errors import UserError
from dcgan.runtime.atomic_files import flush, partial_pattern, remove
from dcgan.runtime.disk import disk_errors, make_folder
from dcgan.runtime.terminal import print_lines

LOCK_FILE = ".lock"  # in the folder that is locked
_MIN_AGE = 60  # seconds; a younger folder may not have got its lock yet


@contextmanager
def exclusive_access(folder: Path) -> Iterator[bool]:
    """Make a run folder, and lock it in the block. Yields whether it is locked.

    Where the file system has no locks, a line on stderr says so, and nothing that may be of another
    process may be deleted. Raises UserError if another process has locked the folder, or if it
    cannot be written.
    """
    lock = _lock_of(folder)
    with disk_errors(folder):
        make_folder(folder)
        try:
            refusal = _acquire(lock)
        except Timeout as error:
            raise UserError(
                f"another process is training in {folder}: wait for its end, or use another --out"
            ) from error
    if refusal:
        _warn_without_lock(folder, refusal)
    try:
        yield not refusal
    finally:
        lock.release()


@contextmanager
def locked_folder(partial: Path) -> Iterator[None]:
    """Make a temporary folder that `remove_abandoned` leaves alone while this process lives.

    After the block the content is flushed to the disk, which can take minutes, and then the lock
    file is deleted. The folder must get its final name within a minute.
    """
    partial.mkdir()
    lock = _lock_of(partial)
    _acquire(lock)
    try:
        yield
        flush(partial)
    finally:
        lock.release()
        (partial / LOCK_FILE).unlink(missing_ok=True)


def remove_abandoned(target: Path) -> None:
    """Delete the temporary folders beside `target` that killed processes have left.

    On file systems without locks nobody can tell which these are, and nothing is deleted.
    """
    target = Path(os.path.realpath(target))
    for partial in target.parent.glob(partial_pattern(target.name)):
        with suppress(OSError):  # locked (Timeout is one), or another process deletes it too
            is_new = time.time() - partial.stat().st_mtime < _MIN_AGE
            if partial.is_dir() and not is_new and not _acquire(lock := _lock_of(partial)):
                lock.release()  # Windows does not delete a file that is open
                remove(partial)


def _lock_of(folder: Path) -> FileLock:
    # Soft locks are files, which a killed process would leave behind.
    return FileLock(folder / LOCK_FILE, timeout=0, fallback_to_soft=False)


def _acquire(lock: FileLock) -> str:
    """Take a lock. Returns why the file system refuses locks; "" where it has given this one.

    Raises Timeout if another process holds it, and OSError if its file cannot be written.
    """
    try:
        lock.acquire()
    except Timeout:
        raise
    except OSError as error:
        if error.filename is not None:  # from opening the file: locking knows no names
            raise
        return error.strerror or str(error)
    return ""


@cache  # once for each folder, though a run that rolls back locks it again
def _warn_without_lock(folder: Path, refusal: str) -> None:
    print_lines(
        f"{folder} cannot be locked ({refusal}): let no other process train in it, since none "
        f"would be refused",
        file=sys.stderr,
    )
