"""Packed folders: made from raw images, and opened. Importing this does not import torch."""

from dcgan.data.packed import PackedImages, content_hash, is_packed, open_packed
from dcgan.data.packing import cache_folder, find_packed, open_or_pack, pack, pack_arrays, prepare
from dcgan.data.rows import row_reader

__all__ = [
    "PackedImages",
    "cache_folder",
    "content_hash",
    "find_packed",
    "is_packed",
    "open_or_pack",
    "open_packed",
    "pack",
    "pack_arrays",
    "prepare",
    "row_reader",
]
