"""What a file is that is no checkpoint, for error messages."""

import zipfile
from pathlib import Path


def describe_foreign_file(path: Path) -> str | None:
    """One line on a file of another program that is taken for a checkpoint; None if unknown.

    Nothing in the file is unpickled or executed.
    """
    with open(path, "rb") as file:
        start = file.read(512)
    if not start:
        return "it is empty"
    if _is_torch_zip(path, start) or _is_legacy_pickle(start):
        return (
            "it is a pickle of torch.save, which can run code and is not read; docs/conversion.md "
            "shows how to convert the weights of PyTorch's DCGAN example"
        )
    if start.lstrip()[:1] == b"<":
        return "it is a web page (HTML), perhaps of a download that needs a confirmation"
    if start.startswith((b"\x89PNG", b"\xff\xd8")):
        return "it is a picture"
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS: fetch the file itself with `git lfs pull`"
    return None


def _is_torch_zip(path: Path, start: bytes) -> bool:
    """Whether a file has been written by torch.save since torch 1.6: a zip with a data.pkl."""
    if not start.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def _is_legacy_pickle(start: bytes) -> bool:
    """Whether a file starts as a pickle of protocol 2 or later, as older torch.save wrote."""
    return start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
