"""Image files with a mask each."""

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple

import numpy as np

from dcgan.data.decoding.conversion import Conversion
from dcgan.data.decoding.image import decode_sized
from dcgan.data.decoding.mask import MAX_CLASSES, decode_mask
from dcgan.data.decoding.opening import BadImage
from dcgan.data.packed_files import IGNORED
from dcgan.data.sources.base import EncodedSource, reason_of
from dcgan.data.sources.files import Files
from dcgan.errors import printable


class Pair(NamedTuple):
    """An image and its mask, by their indices in two `Files`; of what has no partner, the reason
    why it is bad.
    """

    name: str
    image: int = -1
    mask: int = -1
    refused: str = ""


class MaskedFiles(EncodedSource):
    """Pairs of an image file in `images` and a mask in `masks`, which may be the same `Files`.

    mask_names: of the classes; () if they are not declared.
    """

    def __init__(
        self, images: Files, masks: Files, pairs: Sequence[Pair], mask_names: tuple[str, ...]
    ):
        super().__init__()
        self.images, self.masks, self.pairs = images, masks, pairs
        self.mask_names = mask_names
        self.notes = list(images.notes)
        self.left_out = images.left_out.copy()
        if masks is not images:
            self.notes += masks.notes
            self.left_out += masks.left_out

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, i: int) -> str:
        return printable(self.pairs[i].name)

    def fingerprint(self) -> str:
        both = self.images.fingerprint() + self.masks.fingerprint()
        return hashlib.sha256(both.encode()).hexdigest()

    def open(self, i: int) -> AbstractContextManager[BinaryIO]:
        pair = self.pairs[i]
        if pair.refused:
            raise BadImage(pair.refused)
        return self.images.open(pair.image)

    def read_with_masks(
        self,
        indices: Sequence[int],
        size: int,
        channels: int,
        crop: int | None,
        conversion: Conversion,
    ) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
        images = np.zeros((len(indices), size, size, channels), np.uint8)
        masks = np.full((len(indices), size, size), IGNORED, np.uint8)
        bad = {}
        for row, i in enumerate(indices):
            about = ""
            try:
                with self.open(i) as file:
                    image, image_size = decode_sized(file, size, channels, crop, conversion)
                about = f"its mask {self.masks.name(self.pairs[i].mask)}: "
                with self.masks.open(self.pairs[i].mask) as file:
                    masks[row] = decode_mask(
                        file, image_size, size, crop, conversion.fit, self._classes
                    )
                images[row] = image
            except (BadImage, OSError) as error:
                bad[i] = about + reason_of(error)
        return images, masks, bad

    @property
    def _classes(self) -> int:
        return len(self.mask_names or ()) or MAX_CLASSES
