"""Recognising downloads that went wrong: files that are web pages, or pointers to files."""

import re
from pathlib import Path

from dcgan.errors import UserError

HEAD_BYTES = 2**12
_BEFORE_PAGE = re.compile(rb"(\s|<!--.*?-->|<\?xml.*?\?>)*", re.DOTALL)
_PAGE = re.compile(rb"<(!doctype\s+html|html|head|body|title|meta|script|style|div|center)\b")
_LFS = b"version https://git-lfs.github.com/spec/"


def wrong_download(head: bytes) -> tuple[str, str] | None:
    """What a file that begins with `head` is instead of data, and advice; else None."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16: ASCII between zeros
        head = head[2:].replace(b"\0", b"")
    head = head.removeprefix(b"\xef\xbb\xbf").lower()
    before = _BEFORE_PAGE.match(head)
    if before and _PAGE.match(head, before.end()):
        return "a web page (HTML)", (
            "probably a download page, a login, or Google Drive's warning of viruses or too many "
            "downloads. Download the file again, in a browser"
        )
    if head.startswith(_LFS):
        return "a pointer of Git LFS", "run `git lfs pull` where it comes from"
    return None


def check_download(path: Path, head: bytes | None = None) -> None:
    """Raise UserError if a file, which begins with `head`, is a web page or a pointer.

    A file that cannot be read is left to its reader.
    """
    if head is None:
        try:
            with open(path, "rb") as file:
                head = file.read(HEAD_BYTES)
        except OSError:
            return
    if wrong := wrong_download(head):
        raise UserError(f"{path} is {wrong[0]}, not data: {wrong[1]}")
