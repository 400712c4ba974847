"""A folder of image files, or a zip or tar of one, read in place."""

import hashlib
import os
import stat
from collections import deque
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dcgan.config import DataOptions
from dcgan.data.decoding.opening import BadImage
from dcgan.data.sources.array_files import ARRAY_EXTENSIONS, open_array_file
from dcgan.data.sources.array_source import ArraySource
from dcgan.data.sources.base import file_hash
from dcgan.data.sources.files import EXTENSIONS, ArchiveFiles, Files, is_hidden, is_image, read_file
from dcgan.data.sources.left_out import describe_left_out
from dcgan.data.sources.opening_archive import open_archive
from dcgan.data.sources.outputs import is_output_picture, output_around, output_kind
from dcgan.data.sources.stylegan import DATASET_JSON, label_by_dataset_json
from dcgan.errors import UsageError, UserError, printable


class FolderFiles(Files):
    """The images anywhere below a folder. Links are followed; only regular files are opened."""

    def __init__(self, root: Path, lists: Collection[str] = ()):
        super().__init__(root)
        digest = hashlib.sha256()
        for name, status in sorted(self._walk(lists), key=lambda found: found[0]):
            self.names.append(name)
            entry = f"{name} {status}\n"
            digest.update(entry.encode(errors="surrogatepass"))
        self.digest = digest.hexdigest() + (
            file_hash(map(root.joinpath, self.lists)) if self.lists else ""
        )

    def _walk(self, lists: Collection[str]) -> Iterable[tuple[str, tuple[int, int] | None]]:
        """Name of every image, and its size and time; None if they cannot be read.

        Runs, packed images and pictures of dcgan are passed over, with a note.
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
                entries = sorted(os.scandir(path), key=lambda entry: entry.name, reverse=True)
            except OSError:
                yield folder, None
                continue
            if kind := output_kind(Path(path), {entry.name for entry in entries}):
                self.notes.append(f"left out {printable(folder)}: it holds {kind}, made by dcgan")
                continue
            while entries:
                entry = entries.pop()  # frees the one before, which keeps its status
                name = folder + entry.name
                if is_hidden(entry.name):
                    continue
                try:
                    status = entry.stat()
                except OSError:
                    status = None
                if status and stat.S_ISDIR(status.st_mode):
                    if name.count("/") <= 1:
                        self.folders.add(name)
                    (linked if entry.is_symlink() else folders).append(name + "/")
                elif status and stat.S_ISREG(status.st_mode) and is_output_picture(entry.path):
                    self.notes.append(f"left out {printable(name)}: it is made by dcgan")
                elif is_image(name):
                    # The whole status would take 500 bytes more, of perhaps millions of files.
                    yield name, status and (status.st_size, status.st_mtime_ns)
                else:
                    self._leave_out(name, lists)

    def _open_file(self, i: int) -> AbstractContextManager[BinaryIO]:
        path = (
            f"{self.root}/{self.names[i]}"  # joining paths would take longer than opening the file
        )
        try:
            _check_regular(os.stat(path), path)
        except FileNotFoundError:
            reason = "broken link" if os.path.islink(path) else "no longer there"
            raise BadImage(reason) from None
        return open(path, "rb", buffering=0, opener=_open_regular)

    def read_list(self, name: str) -> bytes:
        return read_file(self.root / name)


def open_folder(
    options: DataOptions, root: Path, without: Path | None = None
) -> Files | ArraySource:
    """The `folder` source: a folder, a zip, a tar, a .npy or a .npz.

    Of a folder, the images in the folder `without` are left out. A dataset.json of StyleGAN has the
    labels; without it, they are the folders if options say so.
    Raises UserError if there are no images.
    """
    if options.split not in ("train", "all"):
        raise UsageError(f"a folder has no {options.split} split: give the folder of it as --root")
    if options.classes and not options.class_folders:
        raise UsageError("--classes selects first-level folders: add --class-folders")
    if root.is_file() and root.suffix.lower() in ARRAY_EXTENSIONS:
        if options.class_folders:
            raise UsageError(f"--class-folders is for folders of images, not for {root}")
        return open_array_file(root)
    files = open_files(root, [DATASET_JSON])
    if without is not None:
        leave_out_folder(files, without)
    labelled = label_by_dataset_json(files, options.classes)
    if options.class_folders and not labelled:
        _label_by_folder(files, options.classes)
    if not len(files):
        found = f"; {describe_left_out(files.left_out)}" if files.left_out else ""
        raise UserError(f"no images in {root} (looked for {' '.join(EXTENSIONS)}){found}")
    return files


def open_files(root: Path, lists: Collection[str] = ()) -> Files:
    """The image files below a folder or in an archive, and the files of labels named `lists`.

    Raises UserError if `root` is neither.
    """
    if root.is_dir():
        if not os.access(root, os.R_OK | os.X_OK):
            raise UserError(f"cannot read {root}: permission denied")
        if kind := output_around(root):
            hint = ": give it as --data" if kind == "packed images" else ", not raw images"
            raise UserError(f"{root} holds {kind}, made by dcgan{hint}")
        return FolderFiles(root, lists)
    if root.is_file():
        return open_archive(root, lists)
    raise UserError(f"{root} is neither a folder nor a file")


def leave_out_folder(files: Files, folder: Path) -> None:
    """Leave out the images in `folder`, if it lies in the folder of the files."""
    root, folder = files.root.resolve(), folder.resolve()
    if files.root.is_dir() and folder.is_relative_to(root):
        inside = f"{folder.relative_to(root).as_posix()}/"
        files.keep(lambda name: not name.startswith(inside))
        files.folders = {name for name in files.folders if not f"{name}/".startswith(inside)}


def _label_by_folder(files: Files, classes: tuple[str, ...]) -> None:
    """Label the images by their first-level folder; with `classes`, keep only those folders.

    An archive often has one folder around everything: then the folders inside it count.
    """
    depth = 0
    if isinstance(files, ArchiveFiles) and len({n.split("/")[0] for n in files.names}) == 1:
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
    else:
        first = {f"{path}/".split("/")[depth] for path in files.folders if path.count("/") == depth}
        if empty := sorted(first - set(found)):
            files.notes.append(f"no images in the folders {', '.join(map(printable, empty[:9]))}")
    index = {name: label for label, name in enumerate(found)}
    files.labels = np.array([index.get(folder(name), -1) for name in files.names], np.int64)
    files.label_names = tuple(map(printable, found))
    for i in np.flatnonzero(files.labels < 0):
        files.refused[int(i)] = "not in a class folder"


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
