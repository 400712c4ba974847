"""Packed folders, opened and checked."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from dcgan.config.validation import to_path
from dcgan.data.packed_files import (
    IMAGES,
    LABELS,
    MASKS,
    META,
    check_arrays,
    check_masks,
    read_array,
    read_meta,
)
from dcgan.errors import UserError, printable
from dcgan.runtime.downloads import check_download

_BLOCK_BYTES = 2**22  # read at a time
_MAX_REHASHED_BYTES = 2**32  # hashing these takes some seconds
# json raises RecursionError for deep nesting, NumPy OverflowError for a huge shape, and SyntaxError
# and TokenError for a header that it takes for one of Python 2, and TypeError for a shape of bools.
_DAMAGE_ERRORS = (
    *(OSError, ValueError, TypeError, RecursionError, OverflowError, SyntaxError, TokenError),
)


@dataclass(frozen=True, eq=False)
class PackedImages:
    """Images of one size, memory-mapped, with their labels, masks and meta.json."""

    folder: Path
    images: np.ndarray = field(repr=False)  # uint8 [N, S, S, C] in 0..255
    # int64 [N] class indices, or uint8 [N, A] attributes in {0, 1}
    labels: np.ndarray | None = field(repr=False)
    label_names: tuple[str, ...]  # of the classes or attributes
    meta: dict[str, Any]
    # uint8 [N, S, S], the class of each pixel or IGNORED
    masks: np.ndarray | None = field(default=None, repr=False)
    mask_names: tuple[str, ...] = ()  # of the classes of the masks

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        return self.images.shape[1]

    @property
    def channels(self) -> int:
        return self.images.shape[3]

    def multi_hot(self, indices: np.ndarray) -> np.ndarray:
        """Labels of the images `indices`: float32 [n, len(label_names)] in {0, 1}."""
        assert self.labels is not None
        chosen = self.labels[indices]
        if chosen.ndim == 1:
            chosen = chosen[:, None] == np.arange(len(self.label_names))
        return chosen.astype(np.float32)

    def has_label(self, index: int) -> np.ndarray:
        """Whether each image has the label `label_names[index]`: bool [N]."""
        assert self.labels is not None
        if self.labels.ndim == 1:
            return self.labels == index
        return self.labels[:, index] == 1

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the images, labels and masks at the time of packing."""
        return self.meta["sha256"]

    def check_unchanged(self) -> None:
        """Raise UserError if the files differ from the fingerprint; over 4 GB are not checked."""
        if (
            self.images.nbytes <= _MAX_REHASHED_BYTES
            and content_hash(self.folder) != self.fingerprint
        ):
            raise UserError(f"the images in {self.folder} have changed: pack them again")


def content_hash(folder: Path) -> str:
    """SHA-256 of images.npy, and of labels.npy and masks.npy where present, one after the other."""
    digest = hashlib.sha256()
    for path in (folder / IMAGES, folder / LABELS, folder / MASKS):
        if path.exists():
            with open(path, "rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
    return digest.hexdigest()


def is_packed(folder: Path) -> bool:
    """Whether `folder` is a packed folder: a complete one, since `pack` renames it at its end."""
    return (folder / META).is_file()


def open_packed(folder: Path) -> PackedImages:
    """Open a packed folder. Raises UserError if it is missing, damaged or of another format."""
    folder = to_path(folder)
    try:
        if not is_packed(folder):
            raise UserError(f"{folder} {_describe_other(folder)}")
        meta = read_meta(folder / META)
        images = read_array(folder / IMAGES)
        labels = read_array(folder / LABELS) if meta["label_kind"] else None
        check_arrays(meta, images, labels)
        mask_names = tuple(map(printable, meta.get("mask_names") or ()))
        masks = read_array(folder / MASKS) if mask_names else None
        if masks is not None:
            check_masks(masks, images.shape[:3], len(mask_names))
    except PermissionError as error:
        raise UserError(f"cannot read {folder}: permission denied") from error
    except _DAMAGE_ERRORS as error:
        for name in (META, IMAGES, LABELS, MASKS):
            check_download(folder / name)
        raise UserError(f"{folder} is damaged: {error}; pack the images again") from error
    label_names = tuple(map(printable, meta["label_names"]))
    return PackedImages(folder, images, labels, label_names, meta, masks, mask_names)


def _describe_other(folder: Path) -> str:
    """What a folder is that is no packed folder, and what to give instead."""
    state = "is not a packed folder" if folder.exists() else "does not exist"
    inside = sorted(meta.parent.name for meta in folder.glob(f"*/{META}"))
    if inside:
        return f"{state}: name one of those in it: {', '.join(inside[:10])}"
    return f"{state}; `dcgan prepare` makes one from raw images"
