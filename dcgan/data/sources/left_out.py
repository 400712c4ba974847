"""Files of a source that are not read as images: counted by kind, and named in one line."""

import re
from collections import Counter
from typing import NamedTuple

_KIND = re.compile(r"\.(?!\d+$)[a-z0-9]{1,8}$")
_MAX_NAMED = 8  # kinds in the line; the rest are added up


class _Hint(NamedTuple):
    """Advice for files of these extensions."""

    extensions: str
    advice: str


_HINTS = (
    _Hint(
        ".heic .heif .avif .jxl .jp2 .j2k .jpf .jxr .tga .psd .svg .eps .ico .exr .hdr .pfm .dds "
        ".dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .raw .dcm .nii .pdf",
        "not read here: convert them to PNG or JPEG",
    ),
    _Hint(".zip .tar .tgz .gz .bz2 .xz .zst .7z .rar", "not opened: unpack them"),
    _Hint(".npy .npz", "not read beside images: give one as --root"),
    _Hint(".mp4 .mov .avi .mkv .webm", "not read here: extract the frames"),
)
_ADVICE = {kind: hint.advice for hint in _HINTS for kind in hint.extensions.split()}


def file_kind(name: str) -> str:
    """The kind of a file: its extension in lower case, or "without extension"."""
    found = _KIND.search(name.rpartition("/")[2].lower(), 1)
    return found[0] if found else "without extension"


def describe_left_out(kinds: Counter[str]) -> str:
    """One line: "left out .heic: 20 (not read here: ...), .txt: 3", the likely images first."""
    ordered = sorted(kinds.items(), key=lambda pair: (pair[0] not in _ADVICE, -pair[1], pair[0]))
    named = [
        f"{kind}: {count:,}" + (f" ({_ADVICE[kind]})" if kind in _ADVICE else "")
        for kind, count in ordered[:_MAX_NAMED]
    ]
    if rest := sum(count for _, count in ordered[_MAX_NAMED:]):
        named.append(f"other kinds: {rest:,}")
    return "left out " + ", ".join(named)
