"""A stand-in for Windows, which neither deletes nor renames what a process has open or mapped."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def windows_files(monkeypatch) -> None:
    """Refuse on Linux what Windows refuses: to delete or rename a file that this process or a child
    has open or mapped, a folder with such a file in it, and to rename over a folder.
    """
    if not os.path.exists("/proc/self/maps"):
        pytest.skip("needs /proc")
    for name in ("unlink", "remove", "rmdir"):
        monkeypatch.setattr(os, name, _deleting(getattr(os, name)))
    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, _renaming(getattr(os, name)))


def _deleting(delete: Callable) -> Callable:
    def refusing(path, *, dir_fd=None):
        _refuse_if_in_use(_absolute(path, dir_fd))
        delete(path, dir_fd=dir_fd)

    return refusing


def _renaming(rename: Callable) -> Callable:
    def refusing(source, target, *, src_dir_fd=None, dst_dir_fd=None):
        paths = _absolute(source, src_dir_fd), _absolute(target, dst_dir_fd)
        if os.path.isdir(paths[1]):
            raise PermissionError(errno.EACCES, "Access is denied", *map(str, paths))
        for path in paths:
            _refuse_if_in_use(path)
        rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    return refusing


def _absolute(path, folder: int | None) -> str:
    parent = os.getcwd() if folder is None else os.readlink(f"/proc/self/fd/{folder}")
    path = os.path.join(parent, os.fspath(path))
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _refuse_if_in_use(path: str) -> None:
    for used in _used_paths():
        if used == path or used.startswith(path + os.sep):
            raise PermissionError(
                errno.EACCES, "The process cannot access the file because it is in use", path
            )


def _used_paths() -> Iterator[str]:
    """The files that this process and its children have open or mapped."""
    processes = [str(os.getpid())]
    for process in processes:
        try:
            for thread in Path("/proc", process, "task").iterdir():
                processes += (thread / "children").read_text().split()
            for line in Path("/proc", process, "maps").read_text().splitlines():
                yield line.split(maxsplit=5)[5] if line.count("/") else ""
            for descriptor in Path("/proc", process, "fd").iterdir():
                yield os.readlink(descriptor)
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
