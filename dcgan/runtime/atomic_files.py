"""Atomic writes: a file or folder appears under its final name when it is complete.

No maintained library does this for folders as well as for files.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dcgan.runtime.disk import disk_errors, make_folder

PARTIAL_SUFFIX = ".partial"
# How file systems say that a folder cannot be flushed: FUSE, SMB, 9p and Windows, which opens no
# folders. Any other error is one of the disk.
_FOLDERS_NOT_FLUSHED = {
    *(errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS),
    *(errno.EACCES, errno.EPERM, errno.EISDIR),
}


@contextmanager
def replace_atomically(target: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `target`, and rename it to `target` after the block.

    The block makes a file or a folder there. If it raises, the old target stays and the temporary
    path is deleted. `durable` flushes the content to the disk before the rename, and the folder
    after it, so that even a power cut leaves the old target or the new one. Raises UserError if
    writing fails.
    """
    target = Path(os.path.realpath(target))  # follows links; and "." has no name
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    with disk_errors(target):
        if target.exists() and not (target.is_file() or target.is_dir()):
            raise OSError("it is not a file")
        try:
            make_folder(target.parent)
            yield partial
            if durable:
                flush(partial)
            _rename(partial, target)
            if durable:
                fsync(target.parent)
        except BaseException:
            remove(partial)
            raise


def _rename(partial: Path, target: Path) -> None:
    """Rename to the target. Raises FileExistsError for a folder that is not empty any more."""
    try:
        if partial.is_dir() and target.is_dir():
            target.rmdir()  # an empty one; Windows and some shares would not replace it
        partial.replace(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError("another process has written it meanwhile") from error
        raise


def partial_pattern(name: str) -> str:
    """Glob pattern of the temporary files and folders of a target; `name` may be a pattern too."""
    return f".{name}.{'[0-9a-f]' * 8}{PARTIAL_SUFFIX}"


def flush(path: Path) -> None:
    """Flush a file, or a folder with all that is in it, to the disk."""
    for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
        fsync(each)


def fsync(path: Path) -> None:
    """Flush a file or a folder to the disk; folders only where the file system can do that."""
    if not path.is_dir():
        _fsync(path, os.O_RDWR)
        return
    try:
        _fsync(path, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _FOLDERS_NOT_FLUSHED:
            raise


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file or a folder with its content, if it exists."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
