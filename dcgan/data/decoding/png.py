"""PNGs without their overlong metadata, which Pillow refuses although the pixels are sound."""

import io
import struct
import zlib
from typing import BinaryIO

from PIL.PngImagePlugin import MAX_TEXT_CHUNK, MAX_TEXT_MEMORY

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">I4s")  # length and kind of a chunk; a checksum follows its content
_CHECKSUM_BYTES = 4
_TEXTS = (b"iCCP", b"zTXt", b"iTXt", b"tEXt")
_MAX_CHUNKS = 2**20  # a million take a second
_BLOCK_BYTES = 2**16


def drop_long_metadata(file: BinaryIO) -> BinaryIO:
    """The file itself; or, of a PNG, a copy without the texts and colour profiles that inflate to
    more than Pillow's limits.

    Pixels and orientation do not depend on what is dropped, unless the text holds the latter.
    Raises ValueError for a PNG of too many chunks. No more than a block is inflated at a time.
    """
    file.seek(0)
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        return file
    dropped: list[tuple[int, int]] = []
    start, inflated = len(_SIGNATURE), 0
    for _ in range(_MAX_CHUNKS + 1):  # once more finds the end
        file.seek(start)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            break
        length, kind = _HEADER.unpack(header)
        end = start + _HEADER.size + length + _CHECKSUM_BYTES
        if kind in _TEXTS:
            count = _inflated_bytes(file, kind, length)
            if count > MAX_TEXT_CHUNK or inflated + count > MAX_TEXT_MEMORY:
                dropped.append((start, end))
            else:
                inflated += count
        start = end
    else:
        raise ValueError(f"more than {_MAX_CHUNKS:,} chunks")
    return _without(file, dropped) if dropped else file


def _inflated_bytes(file: BinaryIO, kind: bytes, length: int) -> int:
    """The size of the text or profile in a chunk, counted to just over Pillow's limit of one."""
    head = file.read(min(length, _BLOCK_BYTES))
    rest = head.partition(b"\0")[2]
    if kind == b"iTXt":  # flag and method of the compression, then two more texts that end in zero
        compressed, rest = rest[:1] == b"\1", rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    else:
        compressed, rest = kind != b"tEXt", rest[1:]
    if not compressed:
        return length
    inflate, count, left = zlib.decompressobj(), 0, length - len(head)
    try:
        while rest and not inflate.eof:
            count += len(inflate.decompress(rest, MAX_TEXT_CHUNK + 1 - count))
            if count > MAX_TEXT_CHUNK:
                break
            rest = inflate.unconsumed_tail or file.read(min(left, _BLOCK_BYTES))
            left -= 0 if inflate.unconsumed_tail else len(rest)
    except zlib.error:
        pass  # Pillow has its own word for it
    return count


def _without(file: BinaryIO, dropped: list[tuple[int, int]]) -> BinaryIO:
    kept, place = io.BytesIO(), 0
    for start, end in dropped:
        file.seek(place)
        kept.write(file.read(start - place))
        place = end
    file.seek(place)
    kept.write(file.read())
    return kept
