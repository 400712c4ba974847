"""Packed folders: made from raw images, and opened. Importing this does not import torch."""

from dcgan.data.cache import cache_folder, find_packed, open_or_pack
from dcgan.data.held_out import count_held_out, hold_out, split_images
from dcgan.data.packed import PackedImages, content_hash, is_packed, open_packed
from dcgan.data.packed_files import IGNORED
from dcgan.data.packing import pack, pack_arrays, prepare
from dcgan.data.rows import row_reader

__all__ = [
    "IGNORED",
    "PackedImages",
    "cache_folder",
    "content_hash",
    "count_held_out",
    "find_packed",
    "hold_out",
    "is_packed",
    "open_or_pack",
    "open_packed",
    "pack",
    "pack_arrays",
    "prepare",
    "row_reader",
    "split_images",
]
