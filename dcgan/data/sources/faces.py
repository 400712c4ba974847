"""The rendered faces as a source, with or without the masks of their parts."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dcgan.config import DataOptions
from dcgan.data.decoding.conversion import Conversion
from dcgan.data.sources.base import Source
from dcgan.errors import UsageError

FACE_SOURCES = ("faces", "face-parts")
# The first index of each split: too far apart for splits to share a face.
_FIRST_INDEX = {"train": 0, "valid": 2**30, "test": 2 * 2**30}


class RenderedFaces(Source):
    """`count` faces from index `first` on, rendered with seed 0."""

    in_process = True
    chunk = 512  # enough work for all threads of torch

    def __init__(self, first: int, count: int):
        from dcgan.data import faces

        super().__init__()
        self.first, self.count = first, count
        indices = range(first, first + count)
        self.labels = faces.sample_attributes(indices, seed=0).numpy().astype(np.uint8)
        self.label_names = faces.ATTRIBUTES

    def __len__(self) -> int:
        return self.count

    def name(self, i: int) -> str:
        return f"face {self.first + i}"

    def fingerprint(self) -> str:
        from dcgan.data import faces

        code = sorted(Path(faces.__file__).parent.glob("*.py"))
        return hashlib.sha256(b"".join(file.read_bytes() for file in code)).hexdigest()

    def read_images(
        self,
        indices: Sequence[int],
        size: int,
        channels: int,
        crop: int | None,
        conversion: Conversion | None = None,
    ) -> tuple[np.ndarray, dict[int, str]]:
        return self._render(indices, size, channels)[0], {}

    def _render(
        self, indices: Sequence[int], size: int, channels: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """uint8 [n, size, size, channels], and the parts uint8 [n, size, size]."""
        from dcgan.data import faces

        rendered = faces.render([self.first + i for i in indices], size, seed=0)
        images = rendered.images.numpy()
        return (images if channels == 3 else _luma(images)), rendered.parts.numpy()


class FaceParts(RenderedFaces):
    """The same faces, with the masks of their parts."""

    def __init__(self, first: int, count: int):
        from dcgan.data import faces

        super().__init__(first, count)
        self.mask_names = faces.PARTS

    def read_with_masks(
        self,
        indices: Sequence[int],
        size: int,
        channels: int,
        crop: int | None,
        conversion: Conversion,
    ) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
        images, masks = self._render(indices, size, channels)
        return images, masks, {}


def _luma(images: np.ndarray) -> np.ndarray:
    """uint8 [N, S, S, 3] -> [N, S, S, 1] by ITU-R 601, rounded as Pillow does."""
    weights = np.array([19595, 38470, 7471], np.uint32)  # of 2^16
    return ((images @ weights + 2**15) >> 16).astype(np.uint8)[..., None]


def packed_indices(meta: Mapping[str, Any]) -> range | None:
    """The indices of the faces in a packed folder with this meta.json, in their order; None for
    images of another source, or of another part of the faces.
    """
    first = _FIRST_INDEX.get(meta.get("split", ""))
    drawn = meta.get("source") in FACE_SOURCES
    if not drawn or first is None or meta["found"] != meta["packed"]:
        return None
    return range(first, first + meta["packed"])


def open_faces(options: DataOptions) -> RenderedFaces:
    """The `faces` and `face-parts` sources: `--count` faces, different ones in each split.

    Raises UsageError for --split all, --crop and a --count out of range.
    """
    if options.split not in _FIRST_INDEX:
        raise UsageError("faces have no end, so no --split all: use train, valid or test")
    if not 1 <= options.count <= 2**30:
        raise UsageError(f"--count must be from 1 to {2**30}, not {options.count}")
    if options.crop is not None:
        raise UsageError("--crop does not apply to faces: they are rendered at --size")
    if options.fit != "crop":
        raise UsageError(f"--fit {options.fit} does not apply to faces, which are square")
    kind = FaceParts if options.source == "face-parts" else RenderedFaces
    return kind(_FIRST_INDEX[options.split], options.count)
