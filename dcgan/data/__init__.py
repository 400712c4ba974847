"""Raw images to packed folders, and packed folders opened. Nothing here imports torch."""

from dcgan.data.packed import PackedImages, content_hash, is_packed, open_packed
from dcgan.data.packing import cache_folder, open_or_pack, pack, prepare
from dcgan.data.rows import row_reader

__all__ = [
    "PackedImages",
    "cache_folder",
    "content_hash",
    "is_packed",
    "open_or_pack",
    "open_packed",
    "pack",
    "prepare",
    "row_reader",
]
