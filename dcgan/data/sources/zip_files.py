"""Image files in a zip, read in place."""

import io
import stat
import zipfile
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from dcgan.data.decoding.opening import BadImage
from dcgan.data.sources.base import MAX_BYTES
from dcgan.data.sources.files import MAX_LIST_BYTES, ArchiveFiles
from dcgan.errors import UserError

_METHODS = (
    *(zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA),
    getattr(zipfile, "ZIP_ZSTANDARD", zipfile.ZIP_STORED),  # of Python 3.14
)
_UTF8_FLAG = 0x800
_METHOD_NAMES = {9: "Deflate64", 93: "Zstandard", 95: "XZ", 98: "PPMd"}


class ZipFiles(ArchiveFiles):
    """The images anywhere in a zip. Raises UserError if it is damaged."""

    def __init__(self, root: Path, lists: Collection[str] = ()):
        super().__init__(root)
        self.archive: zipfile.ZipFile | None = None
        try:
            infos = self._opened().infolist()
        # Damaged fields raise many kinds of exceptions.
        except Exception as error:
            raise UserError(f"{root} is not a complete zip archive: {error}") from error
        places = self._index(map(_decode_name, infos), lists)
        # Of most members the name here is the name in the zip.
        self.renamed = {
            name: infos[i].filename for name, i in places.items() if infos[i].filename != name
        }

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "archive": None}

    def _opened(self) -> zipfile.ZipFile:
        if self.archive is None:
            self.archive = zipfile.ZipFile(self.root)
        return self.archive

    def _open_file(self, i: int) -> AbstractContextManager[BinaryIO]:
        return io.BytesIO(self._read(self.names[i], MAX_BYTES))

    def read_list(self, name: str) -> bytes:
        try:
            return self._read(name, MAX_LIST_BYTES)
        except BadImage as error:
            raise UserError(f"cannot read {name} in {self.root}: {error.reason}") from error

    def _read(self, name: str, max_bytes: int) -> bytes:
        """Read a member. Raises BadImage if it is damaged, encrypted, a link or too large."""
        try:
            info = self._opened().getinfo(self.renamed.get(name, name))
            _check_member(info, max_bytes)
            with self._opened().open(info) as member:
                # zipfile inflates no more than asked for, and no more than the member declares.
                return member.read(max_bytes + 1)
        except BadImage:
            raise
        # Every compression method raises its own kinds of exceptions.
        except Exception as error:
            raise BadImage(f"damaged in the zip: {error}") from error


def _decode_name(info: zipfile.ZipInfo) -> str:
    """The name of a member. That of macOS is UTF-8 without the flag that says so."""
    if info.filename.isascii() or info.flag_bits & _UTF8_FLAG:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _check_member(info: zipfile.ZipInfo, max_bytes: int) -> None:
    """Raise BadImage for an encrypted, linked or too large member, or an unknown method."""
    if info.flag_bits & 1:
        raise BadImage("encrypted: unpack the zip with its password")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise BadImage("a link")
    if info.compress_type not in _METHODS:
        name = _METHOD_NAMES.get(info.compress_type, f"method {info.compress_type}")
        raise BadImage(f"compressed by {name}, which is not read here: unpack the zip")
    if info.file_size > max_bytes:
        raise BadImage(f"{info.file_size:,} bytes, more than {max_bytes:,}")
