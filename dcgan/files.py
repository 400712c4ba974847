"""Files appear under their final name whole, or not at all."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dcgan.errors import UserError

PARTIAL = ".partial"


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn what the disk refuses in the block into a UserError that names `target`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error


@contextmanager
def replacing(target: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it to `target` when the block ends well.

    The block may make a file or a folder there. A block that raises leaves the old target and no
    temporary. `durable` flushes the content before the rename, and the rename itself, so that even
    a power cut leaves the old target or the new one. Raises UserError where the disk refuses.
    """
    target = Path(os.path.abspath(target))  # "." has no name to put a temporary beside
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}{PARTIAL}")
    with writing(target):
        try:
            make_folder(target.parent)
            yield partial
            if durable:
                for path in [partial, *partial.rglob("*")] if partial.is_dir() else [partial]:
                    flush(path)
            partial.replace(target)
            if durable:
                flush(target.parent)
        except BaseException:
            remove(partial)
            raise


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless they are there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, f"{error.filename} is not a folder") from error


def flush(path: Path) -> None:
    """fsync a file or a folder (folders cannot be opened on Windows, and need no flush there)."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(partial: Path) -> None:
    """Delete a temporary of `replacing`, file or folder, if it is there."""
    if partial.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            partial.unlink()
