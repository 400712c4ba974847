"""Packed folders, opened and checked."""

import hashlib
import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from dcgan.config.validation import to_path
from dcgan.errors import UserError, printable
from dcgan.runtime.downloads import check_download

FORMAT = 1
IMAGES, LABELS, META = "images.npy", "labels.npy", "meta.json"
_BLOCK_BYTES = 2**22  # read at a time
_MAX_REHASHED_BYTES = 2**32  # hashing these takes some seconds
# json raises RecursionError for deep nesting, NumPy OverflowError for a huge shape, and SyntaxError
# and TokenError for a header that it takes for one of Python 2, and TypeError for a shape of bools.
_DAMAGE_ERRORS = (
    *(OSError, ValueError, TypeError, RecursionError, OverflowError, SyntaxError, TokenError),
)


@dataclass(frozen=True, eq=False)
class PackedImages:
    """Images of one size, memory-mapped, with their labels and meta.json."""

    folder: Path
    images: np.ndarray = field(repr=False)  # uint8 [N, S, S, C] in 0..255
    # int64 [N] class indices, or uint8 [N, A] attributes in {0, 1}
    labels: np.ndarray | None = field(repr=False)
    label_names: tuple[str, ...]  # of the classes or attributes
    meta: dict[str, Any]

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
        """SHA-256 of the images and labels at the time of packing."""
        return self.meta["sha256"]

    def check_unchanged(self) -> None:
        """Raise UserError if the files differ from the fingerprint; over 4 GB are not checked."""
        if (
            self.images.nbytes <= _MAX_REHASHED_BYTES
            and content_hash(self.folder) != self.fingerprint
        ):
            raise UserError(f"the images in {self.folder} have changed: pack them again")


def content_hash(folder: Path) -> str:
    """SHA-256 of images.npy and labels.npy (if present), one after the other."""
    digest = hashlib.sha256()
    for path in (folder / IMAGES, folder / LABELS):
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
        meta = _read_meta(folder / META)
        images = _read_array(folder / IMAGES)
        labels = _read_array(folder / LABELS) if meta["label_kind"] else None
        _check_arrays(meta, images, labels)
    except PermissionError as error:
        raise UserError(f"cannot read {folder}: permission denied") from error
    except _DAMAGE_ERRORS as error:
        for name in (META, IMAGES, LABELS):
            check_download(folder / name)
        raise UserError(f"{folder} is damaged: {error}; pack the images again") from error
    return PackedImages(folder, images, labels, tuple(map(printable, meta["label_names"])), meta)


def _describe_other(folder: Path) -> str:
    """What a folder is that is no packed folder, and what to give instead."""
    state = "is not a packed folder" if folder.exists() else "does not exist"
    inside = sorted(meta.parent.name for meta in folder.glob(f"*/{META}"))
    if inside:
        return f"{state}: name one of those in it: {', '.join(inside[:10])}"
    return f"{state}; `dcgan prepare` makes one from raw images"


def _read_meta(path: Path) -> dict[str, Any]:
    """Read meta.json. Raises ValueError unless it has all fields in the right types."""
    meta = json.loads(path.read_text(encoding="utf-8"))
    _expect(isinstance(meta, dict), "meta.json is not an object")
    _expect(meta.get("format") == FORMAT, f"meta.json is not of format {FORMAT}")
    for key in ("size", "channels", "found", "packed", "ignored"):
        _expect(type(meta.get(key)) is int, f"meta.json has no whole number {key!r}")
    for key in ("skipped", "notes", "label_names"):
        _expect(isinstance(meta.get(key), list), f"meta.json has no list {key!r}")
    _expect(isinstance(meta.get("sha256"), str), "meta.json has no 'sha256'")
    _expect(all(isinstance(name, str) for name in meta["label_names"]), "a label name is no text")
    _expect("label_kind" in meta, "meta.json has no 'label_kind'")
    _expect(meta["label_kind"] in (None, "class", "attributes"), "unknown label_kind")
    return meta


def _read_array(path: Path) -> np.ndarray:
    """Memory-map a .npy file. Raises ValueError unless it is complete and in C order."""
    _expect(path.is_file(), f"{path.name} is missing")
    with warnings.catch_warnings(action="ignore"):  # what NumPy says of odd headers
        array = np.lib.format.open_memmap(path, mode="r")
    _expect(array.flags.c_contiguous, f"{path.name} is not in C order")
    expected = array.offset + array.nbytes
    _expect(path.stat().st_size == expected, f"{path.name} is not {expected} bytes long")
    return array


def _check_arrays(meta: dict[str, Any], images: np.ndarray, labels: np.ndarray | None) -> None:
    """Raise ValueError unless the arrays have the types, shapes and values of meta.json."""
    count, names = meta["packed"], len(meta["label_names"])
    shape = (count, meta["size"], meta["size"], meta["channels"])
    _expect(images.dtype == np.uint8, f"images.npy holds {images.dtype}, not uint8")
    _expect(images.shape == shape, f"images.npy is {images.shape}, meta.json says {shape}")
    _expect(len(images) > 0, "it holds no images")
    if labels is None:
        return
    attributes = meta["label_kind"] == "attributes"
    dtype = np.dtype(np.uint8 if attributes else np.int64)
    label_shape = (count, names) if attributes else (count,)
    limit = 2 if attributes else names
    _expect(labels.dtype == dtype, f"labels.npy holds {labels.dtype}, not {dtype}")
    _expect(labels.shape == label_shape, f"labels.npy is {labels.shape}, not {label_shape}")
    _expect(labels.min() >= 0 and labels.max() < limit, "labels.npy has labels without a name")


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
