"""What a disk refuses, told in one line; folders and free space."""

import errno
import os
import shutil
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
    """Make a folder and its parents where they are missing. Raises OSError where a file is one."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, f"{error.filename} is not a folder") from error


def check_free_space(target: Path, needed: int) -> None:
    """Raise UserError unless a file or folder of `needed` bytes can be written to `target`."""
    with disk_errors(target):
        parents = Path(os.path.realpath(target)).parents
        existing = next(folder for folder in parents if folder.exists())
        if not existing.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{existing} is not a folder")
        if not os.access(existing, os.W_OK):
            raise PermissionError(errno.EACCES, f"{existing} may not be written to")
        total, _, free = shutil.disk_usage(existing)
    if total and needed > free:  # /proc and its like have no size, and their own errors
        raise UserError(
            f"cannot write {target}: it takes {_format_bytes(needed)}, and there are "
            f"{_format_bytes(free)} free"
        )


def _format_bytes(count: int) -> str:
    """A size in MB or GB: "2.5 GB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
