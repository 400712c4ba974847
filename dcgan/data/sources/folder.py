"""A folder of image files, or a zip of one, read in place."""

import hashlib
import io
import os
import stat
import zipfile
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from dcgan.config import DataOptions
from dcgan.data.decoding.image import BadImage
from dcgan.data.sources.base import MAX_BYTES, EncodedSource, file_hash
from dcgan.data.sources.left_out import describe_left_out, file_kind
from dcgan.data.sources.outputs import output_around, output_kind
from dcgan.errors import UsageError, UserError, printable

_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
# What systems put beside the files of a user.
_JUNK = ("__macosx", "thumbs.db", "desktop.ini")


class Files(EncodedSource):
    """Image files by name, relative to a folder or to the root of a zip."""

    def __init__(self, root: Path):
        super().__init__()
        self.root = root
        self.names: list[str] = []
        self.refused: dict[int, str] = {}
        """Reasons why images are bad, by index, for those that need not be opened."""
        self.digest = ""

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        return printable(self.names[i])

    def fingerprint(self) -> str:
        return self.digest

    def open(self, i: int) -> AbstractContextManager[BinaryIO]:
        if i in self.refused:
            raise BadImage(self.refused[i])
        return self._open_file(self.names[i])

    def _open_file(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open an image file. Raises BadImage or OSError."""
        raise NotImplementedError

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Keep only the images for whose name `wanted` is true. Call it before labelling."""
        self.names = [name for name in self.names if wanted(name)]


class FolderFiles(Files):
    """The images anywhere below a folder. Links are followed; only regular files are opened."""

    def __init__(self, root: Path):
        super().__init__(root)
        digest = hashlib.sha256()
        for name, status in sorted(self._walk(), key=lambda found: found[0]):
            self.names.append(name)
            entry = f"{name} {status and (status.st_size, status.st_mtime_ns)}\n"
            digest.update(entry.encode(errors="surrogatepass"))
        self.digest = digest.hexdigest()

    def _walk(self) -> Iterable[tuple[str, os.stat_result | None]]:
        """Name and status of every image; the status is None if it cannot be read.

        Runs and packed images of dcgan are passed over, with a note.
        Links to folders are followed last, and no folder is entered twice: loops of links end, and
        an image is named by its own path rather than by a link.
        """
        folders, linked = deque([""]), deque[str]()
        entered: set[str] = set()
        while folders or linked:
            folder = (folders or linked).popleft()
            path = os.path.realpath(self.root / folder)
            if path in entered:
                continue
            entered.add(path)
            try:
                entries = sorted(os.scandir(path), key=lambda entry: entry.name)
            except OSError:
                yield folder, None
                continue
            if kind := output_kind(Path(path), {entry.name for entry in entries}):
                self.notes.append(f"left out {printable(folder)}: it holds {kind}, made by dcgan")
                continue
            for entry in entries:
                name = folder + entry.name
                if _is_hidden(entry.name):
                    continue
                try:
                    status = entry.stat()
                except OSError:
                    status = None
                if status and stat.S_ISDIR(status.st_mode):
                    (linked if entry.is_symlink() else folders).append(name + "/")
                elif _is_image(name):
                    yield name, status
                else:
                    self.left_out[file_kind(name)] += 1

    def _open_file(self, name: str) -> AbstractContextManager[BinaryIO]:
        path = f"{self.root}/{name}"  # joining paths would take longer than opening the file
        try:
            _check_regular(os.stat(path), path)
        except FileNotFoundError:
            reason = "broken link" if os.path.islink(path) else "no longer there"
            raise BadImage(reason) from None
        return open(path, "rb", buffering=0, opener=_open_regular)


class ZipFiles(Files):
    """The images anywhere in a zip. Nothing is extracted: names in it are never used as paths."""

    def __init__(self, root: Path):
        super().__init__(root)
        self.archive: zipfile.ZipFile | None = None
        try:
            members = {info.filename for info in self._opened().infolist()}
        # Damaged fields raise many kinds of exceptions.
        except Exception as error:
            raise UserError(f"{root} is not a complete zip archive: {error}") from error
        members = {name for name in members if name and not name.endswith("/")}
        members = {name for name in members if not any(map(_is_hidden, name.split("/")))}
        self.names = sorted(filter(_is_image, members))
        self.left_out.update(file_kind(name) for name in members if not _is_image(name))
        self.digest = file_hash([root])

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "archive": None}

    def _opened(self) -> zipfile.ZipFile:
        if self.archive is None:
            self.archive = zipfile.ZipFile(self.root)
        return self.archive

    def _open_file(self, name: str) -> AbstractContextManager[BinaryIO]:
        try:
            info = self._opened().getinfo(name)
            _check_member(info)
            with self._opened().open(info) as member:
                # zipfile inflates no more than asked for, and no more than the member declares.
                return io.BytesIO(member.read(MAX_BYTES + 1))
        except BadImage:
            raise
        # Every compression method raises its own kinds of exceptions.
        except Exception as error:
            raise BadImage(f"damaged in the zip: {error}") from error


def _check_member(info: zipfile.ZipInfo) -> None:
    """Raise BadImage for an encrypted, linked or too large member."""
    if info.flag_bits & 1:
        raise BadImage("encrypted")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise BadImage("a link")
    if info.file_size > MAX_BYTES:
        raise BadImage(f"{info.file_size:,} bytes, more than {MAX_BYTES:,}")


def open_folder(options: DataOptions, root: Path) -> Files:
    """The `folder` source: a folder or a zip. Raises UserError if it holds no images."""
    if options.split not in ("train", "all"):
        raise UsageError(f"a folder has no {options.split} split: give the folder of it as --root")
    if options.classes and not options.class_folders:
        raise UsageError("--classes selects first-level folders: add --class-folders")
    files = open_files(root)
    if options.class_folders:
        _label_by_folder(files, options.classes)
    if not len(files):
        found = f"; {describe_left_out(files.left_out)}" if files.left_out else ""
        raise UserError(f"no images in {root} (looked for {' '.join(_EXTENSIONS)}){found}")
    return files


def open_files(root: Path) -> Files:
    """The image files below a folder or in a zip. Raises UserError if `root` is neither."""
    if root.is_dir():
        if not os.access(root, os.R_OK | os.X_OK):
            raise UserError(f"cannot read {root}: permission denied")
        if kind := output_around(root):
            hint = ": give it as --data" if kind == "packed images" else ", not raw images"
            raise UserError(f"{root} holds {kind}, made by dcgan{hint}")
        return FolderFiles(root)
    if root.is_file():
        return ZipFiles(root)
    raise UserError(f"{root} is neither a folder nor a zip")


def _label_by_folder(files: Files, classes: tuple[str, ...]) -> None:
    """Label the images by their first-level folder; with `classes`, keep only those folders.

    A zip often has one folder around everything: then the folders inside it count.
    """
    depth = 0
    if isinstance(files, ZipFiles) and len({PurePosixPath(n).parts[0] for n in files.names}) == 1:
        depth = int(any(name.count("/") > 1 for name in files.names))

    def folder(name: str) -> str:
        parts = name.split("/")
        return parts[depth] if len(parts) > depth + 1 else ""

    found = sorted({folder(name) for name in files.names} - {""})
    missing = [name for name in classes if name not in found]
    if missing:
        raise UserError(
            f"no images in the class folder {missing[0]} of {files.root}; "
            f"it has {', '.join(map(printable, found)) or 'none'}"
        )
    if classes:
        files.keep(lambda name: folder(name) in classes)
        found = sorted(set(classes))
    index = {name: label for label, name in enumerate(found)}
    files.labels = np.array([index.get(folder(name), -1) for name in files.names], np.int64)
    files.label_names = tuple(map(printable, found))
    for i in np.flatnonzero(files.labels < 0):
        files.refused[int(i)] = "not in a class folder"


def _is_image(name: str) -> bool:
    return name.lower().endswith(_EXTENSIONS)


def _is_hidden(name: str) -> bool:
    return (name.startswith(".") and name not in (".", "..")) or name.lower() in _JUNK


def _open_regular(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening would block if a pipe has replaced the file since the check.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        _check_regular(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(status: os.stat_result, path: str | Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        os.scandir(path).close()  # raises the error that `_walk` has met
    if not stat.S_ISREG(status.st_mode):
        raise BadImage("not a regular file")
