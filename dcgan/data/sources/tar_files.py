"""Image files in an uncompressed tar, read in place."""

import io
import tarfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dcgan.data.decoding.opening import BadImage
from dcgan.data.sources.base import MAX_BYTES
from dcgan.data.sources.files import MAX_LIST_BYTES, ArchiveFiles
from dcgan.errors import UserError

_MAX_HEADER_BYTES = 2**20  # of the long name or the extended header of a member
_MAX_PADDING_BYTES = 2**24  # zeros between two tars


def is_tar(head: bytes) -> bool:
    """Whether a file that begins with `head` is a tar of POSIX or GNU."""
    return head.startswith(b"ustar", 257)


class TarFiles(ArchiveFiles):
    """The images anywhere in a tar, found by one pass over its headers.

    Links and devices are left out. Raises UserError if the tar is damaged.
    """

    def __init__(self, root: Path, lists: Collection[str] = ()):
        super().__init__(root)
        members: list[str] = []
        spans: list[tuple[int, int]] = []  # offset and size of the content
        try:
            for member in _members(root):
                if member.isreg() and not member.issparse():
                    members.append(member.name)
                    spans.append((member.offset_data, member.size))
                elif member.isdir():
                    members.append(member.name + "/")
                    spans.append((0, 0))
                else:
                    self.left_out["link, device or sparse file"] += 1
        # Damaged fields raise many kinds of exceptions.
        except Exception as error:
            raise UserError(f"{root} is not a complete tar archive: {error}") from error
        places = self._index(members, lists)
        self.list_spans = {name: spans[places[name]] for name in self.lists}
        self.spans = np.array([spans[places[name]] for name in self.names], np.int64)

    def _select(self, kept: Sequence[int]) -> None:
        super()._select(kept)
        self.spans = self.spans[kept]

    def _open_file(self, i: int) -> AbstractContextManager[BinaryIO]:
        offset, size = self.spans[i].tolist()
        return io.BytesIO(self._read(offset, size, MAX_BYTES))

    def read_list(self, name: str) -> bytes:
        try:
            return self._read(*self.list_spans[name], MAX_LIST_BYTES)
        except (BadImage, OSError) as error:
            raise UserError(f"cannot read {name} in {self.root}: {error}") from error

    def _read(self, offset: int, size: int, max_bytes: int) -> bytes:
        if size > max_bytes:
            raise BadImage(f"{size:,} bytes, more than {max_bytes:,}")
        with open(self.root, "rb") as file:
            file.seek(offset)
            content = file.read(size)
        if len(content) < size:
            raise BadImage("the tar is cut short")
        return content


class _Headers(io.FileIO):
    """A tar of which only headers are read: contents are skipped by seeking."""

    def read(self, length: int | None = -1, /) -> bytes:
        if length is None or not 0 <= length <= _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {length:,} bytes")
        return super().read(length)


def _members(root: Path) -> Iterator[tarfile.TarInfo]:
    """The members of a tar, and of those that are appended to it, as `cat a.tar b.tar` does."""
    with _Headers(root) as file:
        yield from _members_of_one(file)
        while _seek_next_tar(file):
            yield from _members_of_one(file)


def _members_of_one(file: _Headers) -> Iterator[tarfile.TarInfo]:
    """The members of the tar that begins at the position of the file, and moves it to its end."""
    with tarfile.open(fileobj=file, mode="r:") as archive:
        end = -1
        while (member := archive.next()) is not None:
            if member.offset <= end:  # a negative size: it would be followed for ever
                raise tarfile.ReadError("a member before the one that it follows")
            yield member
            end = member.offset
            archive.members.clear()  # type: ignore[attr-defined]  # else 2 kB stay for each
        # After its last member tarfile passes over a damaged header without a word.
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError(f"a damaged header at byte {archive.offset:,}")


def _seek_next_tar(file: _Headers) -> bool:
    """Pass over the zeros after a tar, up to 16 MB; whether another tar follows."""
    position = file.tell()
    for _ in range(_MAX_PADDING_BYTES // _MAX_HEADER_BYTES):
        block = file.read(_MAX_HEADER_BYTES)
        if filled := block.lstrip(b"\0"):
            gap = len(block) - len(filled)
            gap -= gap % tarfile.BLOCKSIZE
            file.seek(position + gap)
            return is_tar(block[gap:])
        position += len(block)
    return False
