"""Folders that one process holds against all others; a killed process holds nothing."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dcgan.errors import UserError
from dcgan.runtime.atomic_files import partial_pattern, remove
from dcgan.runtime.disk import disk_errors, make_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MIN_AGE = 60  # seconds before a folder without a lock counts as abandoned: its maker locks it next


@contextmanager
def exclusive_access(folder: Path) -> Iterator[None]:
    """Make a folder, and hold it against other processes. Raises UserError where one has it."""
    with disk_errors(folder):
        make_folder(folder)
        try:
            descriptor = lock(folder)
        except BlockingIOError as error:
            raise UserError(
                f"another process is training in {folder}: wait for its end, or use another --out"
            ) from error
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def locked_folder(partial: Path) -> Iterator[None]:
    """Make a temporary folder that `remove_abandoned` leaves alone while this process lives."""
    partial.mkdir()
    descriptor = lock(partial)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def remove_abandoned(target: Path) -> None:
    """Delete the temporary folders of `target` that killed processes have left."""
    target = Path(os.path.realpath(target))
    for partial in target.parent.glob(partial_pattern(target.name)):
        with suppress(OSError):  # another process deletes them too
            is_new = time.time() - partial.stat().st_mtime < MIN_AGE
            if partial.is_dir() and not is_new and (descriptor := lock(partial)) is not None:
                remove(partial)
                os.close(descriptor)


def lock(folder: Path) -> int | None:
    """A descriptor that holds a lock; None where there are no locks.

    Raises BlockingIOError where another process holds it.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None  # of a file system that knows none
    return descriptor
