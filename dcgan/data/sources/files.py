"""Image files by name: what folders, zips and tars of them have in common."""

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from dcgan.data.decoding.opening import BadImage
from dcgan.data.sources.base import EncodedSource, file_hash
from dcgan.data.sources.left_out import file_kind
from dcgan.errors import UserError, printable

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
# What systems put beside the files of a user.
_JUNK = ("__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin")
MAX_LIST_BYTES = 2**28  # of a file of labels


class Files(EncodedSource):
    """Image files by name, relative to a folder or to the root of an archive."""

    def __init__(self, root: Path):
        super().__init__()
        self.root = root
        self.names: list[str] = []
        self.refused: dict[int, str] = {}
        """Reasons why images are bad, by index, for those that need not be opened."""
        self.digest = ""
        self.lists: list[str] = []
        """Names of the files of labels among the others."""
        self.folders: set[str] = set()
        """The folders of the first two levels, with and without images: "a", "a/b"."""

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "folders": set()}

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        return printable(self.names[i])

    def fingerprint(self) -> str:
        return self.digest

    def open(self, i: int) -> AbstractContextManager[BinaryIO]:
        if i in self.refused:
            raise BadImage(self.refused[i])
        return self._open_file(i)

    def _open_file(self, i: int) -> AbstractContextManager[BinaryIO]:
        """Open the file of image `i`. Raises BadImage or OSError."""
        raise NotImplementedError

    def read_list(self, name: str) -> bytes:
        """The content of one of `lists`. Raises UserError if it is damaged or too large."""
        raise NotImplementedError

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Keep only the images for whose name `wanted` is true. Call it before labelling."""
        self._select([i for i, name in enumerate(self.names) if wanted(name)])

    def _select(self, kept: Sequence[int]) -> None:
        self.names = [self.names[i] for i in kept]

    def _leave_out(self, name: str, lists: Collection[str]) -> None:
        """Count a file that is no image, or keep its name if it is one of the files of labels."""
        if base_name(name) in lists:
            self.lists.append(name)
        else:
            self.left_out[file_kind(name)] += 1


class ArchiveFiles(Files):
    """The images anywhere in an archive. Nothing is extracted: no name in it is used as a path."""

    def __init__(self, root: Path):
        super().__init__(root)
        self.digest = file_hash([root])

    def _index(self, members: Iterable[str], lists: Collection[str]) -> dict[str, int]:
        """Set `names`, `lists`, `folders` and `left_out` from the names of all members.

        Returns the position in `members` of each image and each file of labels by its name here:
        with slashes, where Windows writes backslashes, and without "./". Of several members with
        one name the last counts.
        """
        places: dict[str, int] = {}
        for place, member in enumerate(members):
            parts = split_name(member)
            if not parts or any(map(is_hidden, parts)):
                continue
            folders = parts if member.endswith(("/", "\\")) else parts[:-1]
            self.folders.update("/".join(folders[: n + 1]) for n in range(min(2, len(folders))))
            name = "/".join(parts)
            if folders is parts:
                continue
            if not is_image(name):
                self._leave_out(name, lists)
                if base_name(name) not in lists:
                    continue
            elif name in places:
                self.left_out["repeated name"] += 1
            places[name] = place
        self.names = sorted(filter(is_image, places))
        return places


def is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def is_hidden(name: str) -> bool:
    return (name.startswith(".") and name not in (".", "..")) or name.lower() in _JUNK


def split_name(name: str) -> list[str]:
    """The parts of a name in an archive or a list, between slashes or Windows' backslashes."""
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]


def base_name(name: str) -> str:
    return name.rpartition("/")[2]


def read_file(path: str | os.PathLike[str]) -> bytes:
    """A file of labels. Raises UserError if it cannot be read or is too large."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_LIST_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > MAX_LIST_BYTES:
        raise UserError(f"{path} is longer than {MAX_LIST_BYTES:,} bytes")
    return content
