"""Opening of an archive of images, or saying what a file is instead."""

import shlex
import zipfile
from collections.abc import Collection
from pathlib import Path

from dcgan.data.sources.files import ArchiveFiles
from dcgan.data.sources.tar_files import TarFiles, is_tar
from dcgan.data.sources.zip_files import ZipFiles
from dcgan.errors import UserError
from dcgan.runtime.downloads import HEAD_BYTES, check_download

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")
_OTHER_ARCHIVES = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")
_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")


def open_archive(root: Path, lists: Collection[str] = ()) -> ArchiveFiles:
    """The images in a zip or an uncompressed tar. Raises UserError if `root` is neither."""
    with open(root, "rb") as file:
        head = file.read(HEAD_BYTES)
    check_download(root, head)
    if head.startswith((*_COMPRESSED, *_OTHER_ARCHIVES)):
        raise UserError(
            f"{root} is compressed and is not read in place. Unpack it, and give the folder: "
            f"{_unpacking(root, head)}"
        )
    if head.startswith(_IMAGES):
        raise UserError(f"{root} is an image: give the folder around the images")
    if is_tar(head) or root.suffix.lower() == ".tar":
        return TarFiles(root, lists)
    is_zip = head.startswith(b"PK") or root.suffix.lower() == ".zip"
    if not is_zip and not zipfile.is_zipfile(root):  # one that begins with a program is a zip too
        raise UserError(
            f"{root} is no archive: "
            "a root is a folder, a zip, an uncompressed tar, a .npy or a .npz"
        )
    return ZipFiles(root, lists)


def _unpacking(root: Path, head: bytes) -> str:
    """The command that unpacks an archive into a folder of its name."""
    folder = root.with_name(root.name.split(".")[0] or "images")
    if folder == root:
        folder = root.with_name(f"{root.name}-unpacked")
    source, target = (shlex.quote(str(path)) for path in (root, folder))
    if head.startswith(_OTHER_ARCHIVES):
        return f"7z x {source} -o{target}"
    return f"mkdir {target} && tar xf {source} -C {target}"
