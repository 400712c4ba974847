"""Raw images to packed folders, and packed folders opened."""

from dcgan.data.packed import Packed, open_packed
from dcgan.data.packing import cached, pack, prepare

__all__ = ["Packed", "cached", "open_packed", "pack", "prepare"]
