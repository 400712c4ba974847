"""Files appear under their final name whole, or not at all."""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dcgan.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PARTIAL = ".partial"
YOUNG = 60  # seconds in which a folder's maker may not have claimed it yet


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
    target = Path(os.path.realpath(target))  # where a link leads; and "." has no name
    partial = target.with_name(name_of_partial(target.name, secrets.token_hex(4)))
    with writing(target):
        if target.exists() and not (target.is_file() or target.is_dir()):
            raise OSError("it is not a file")
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


def name_of_partial(name: str, token: str = "[0-9a-f]" * 8) -> str:
    """The name of a temporary beside `name`; without a token, the pattern of all of them."""
    return f".{name}.{token}{PARTIAL}"


@contextmanager
def claimed(partial: Path) -> Iterator[None]:
    """Make a temporary folder that is marked as being written to as long as this process lives."""
    partial.mkdir()
    descriptor = lock(partial)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def sweep_abandoned(target: Path) -> None:
    """Delete the temporary folders of `target` that killed processes have left."""
    target = Path(os.path.realpath(target))
    for partial in target.parent.glob(name_of_partial(target.name)):
        with suppress(OSError):  # another process sweeps too
            made_just_now = time.time() - partial.stat().st_mtime < YOUNG
            if partial.is_dir() and not made_just_now and (descriptor := lock(partial)) is not None:
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


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make a folder, and hold it against other processes. Raises UserError where one has it."""
    with writing(folder):
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


def check_room(target: Path, needed: int) -> None:
    """Raise UserError unless a file or folder of so many bytes can be written to `target`."""
    with writing(target):
        folders = Path(os.path.realpath(target)).parents
        there = next(folder for folder in folders if folder.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{there} is not a folder")
        if not os.access(there, os.W_OK):
            raise PermissionError(errno.EACCES, f"{there} may not be written to")
        total, _, free = shutil.disk_usage(there)
    if total and needed > free:  # /proc and its like have no room, and say themselves what is wrong
        raise UserError(
            f"cannot write {target}: it takes {bytes_in_words(needed)}, and there are "
            f"{bytes_in_words(free)} free"
        )


def bytes_in_words(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


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
