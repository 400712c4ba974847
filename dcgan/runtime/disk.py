"""Disk errors as UserError, folders and free space."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcgan.errors import UserError


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turn every OSError of the block into a UserError that says `target` cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents. Raises NotADirectoryError if a file is in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, f"{error.filename} is not a folder") from error


def check_writable(target: Path) -> None:
    """Raise UserError unless a file can be written to `target`, before the work for it is done."""
    with disk_errors(target):
        path = Path(os.path.realpath(target))
        if path.exists() and not path.is_file():
            raise OSError("it is not a file")
        with tempfile.TemporaryFile(dir=_existing_parent(path)):
            pass


def _existing_parent(path: Path) -> Path:
    """The nearest folder above `path` that exists. Raises NotADirectoryError if it is a file."""
    existing = next(parent for parent in path.parents if parent.exists())
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{existing} is not a folder")
    return existing


def check_free_space(target: Path, needed: int) -> None:
    """Raise UserError unless a file or folder of `needed` bytes can be written to `target`."""
    with disk_errors(target):
        existing = _existing_parent(Path(os.path.realpath(target)))
        if not os.access(existing, os.W_OK):
            raise PermissionError(errno.EACCES, f"{existing} is not writable")
        total, _, free = shutil.disk_usage(existing)
    if total and needed > free:  # /proc and its like have no size, and their own errors
        raise UserError(
            f"cannot write {target}: it takes {format_size(needed)}, "
            f"and only {format_size(free)} are free"
        )


def format_size(size: float) -> str:
    """A number of bytes to three digits: "1.23 GB"."""
    for unit, bytes_per_unit in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= 0.9995 * bytes_per_unit:  # rounded to 1 or more
            return f"{size / bytes_per_unit:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"
