"""The packed folder, opened and checked."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from dcgan.errors import UserError

FORMAT = 1
IMAGES, LABELS, META = "images.npy", "labels.npy", "meta.json"
BLOCK = 2**22  # bytes that are read at a time
HASHED = 2**32  # bytes: some seconds
# RecursionError comes of JSON nested without end, OverflowError of arrays without end, the last two
# of headers of arrays that NumPy takes for those of Python 2.
UNREADABLE = (OSError, ValueError, RecursionError, OverflowError, SyntaxError, TokenError)


@dataclass(frozen=True, eq=False)
class PackedImages:
    """Images of one size, mapped from disk, and what is known of them."""

    folder: Path
    images: np.ndarray = field(repr=False)  # uint8 [N, S, S, C] in 0..255
    labels: np.ndarray | None = field(
        repr=False
    )  # int64 [N] class indices, or uint8 [N, A] of 0 and 1
    label_names: tuple[str, ...]  # of the classes, or of the attributes
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
        """Labels of some images, float32 [n, len(label_names)] of 0 and 1."""
        chosen = self.labels[indices]
        if chosen.ndim == 1:
            chosen = chosen[:, None] == np.arange(len(self.label_names))
        return chosen.astype(np.float32)

    def has_label(self, index: int) -> np.ndarray:
        """Whether each image has a label, bool [N]."""
        labels = self.labels
        return labels == index if labels.ndim == 1 else labels[:, index] == 1

    @property
    def fingerprint(self) -> str:
        """Hash of the images and the labels, as they were when they were packed."""
        return self.meta["sha256"]

    def check_unchanged(self) -> None:
        """Raise UserError unless they still are. Large sets are taken at their word."""
        if self.images.nbytes <= HASHED and content_hash(self.folder) != self.fingerprint:
            raise UserError(f"the images in {self.folder} have changed: pack them again")


def content_hash(folder: Path) -> str:
    """SHA-256 of images.npy, followed by labels.npy where there is one."""
    digest = hashlib.sha256()
    for path in (folder / IMAGES, folder / LABELS):
        if path.exists():
            with open(path, "rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
    return digest.hexdigest()


def is_packed(folder: Path) -> bool:
    """Whether a packed folder stands at `folder`, whole: one is renamed there when finished."""
    return (folder / META).is_file()


def open_packed(folder: Path) -> PackedImages:
    """Open a packed folder. Raises UserError where it is missing, damaged or of another format."""
    folder = Path(folder).expanduser()
    try:
        if not is_packed(folder):
            state = "is not a packed folder" if folder.exists() else "does not exist"
            raise UserError(f"{folder} {state}; `dcgan prepare` makes one from raw images")
        meta = read_meta(folder / META)
        images = read_array(folder / IMAGES)
        labels = read_array(folder / LABELS) if meta["label_kind"] else None
        compare(meta, images, labels)
    except PermissionError as error:
        raise UserError(f"cannot read {folder}: permission denied") from error
    except UNREADABLE as error:
        raise UserError(f"{folder} is damaged: {error}; pack the images again") from error
    return PackedImages(folder, images, labels, tuple(meta["label_names"]), meta)


def read_meta(path: Path) -> dict[str, Any]:
    meta = json.loads(path.read_text(encoding="utf-8"))
    expect(isinstance(meta, dict), "meta.json is not an object")
    expect(meta.get("format") == FORMAT, f"meta.json is not of format {FORMAT}")
    for key in ("size", "channels", "found", "packed", "ignored"):
        expect(type(meta.get(key)) is int, f"meta.json has no whole number {key!r}")
    for key in ("skipped", "notes", "label_names"):
        expect(isinstance(meta.get(key), list), f"meta.json has no list {key!r}")
    expect(isinstance(meta.get("sha256"), str), "meta.json has no 'sha256'")
    expect(all(isinstance(name, str) for name in meta["label_names"]), "a label name is no text")
    expect("label_kind" in meta, "meta.json has no 'label_kind'")
    expect(meta["label_kind"] in (None, "class", "attributes"), "unknown label_kind")
    return meta


def read_array(path: Path) -> np.ndarray:
    """Map a .npy file. Raises ValueError unless it is whole, and in C order."""
    expect(path.is_file(), f"{path.name} is missing")
    array = np.lib.format.open_memmap(path, mode="r")
    expect(array.flags.c_contiguous, f"{path.name} is not in C order")
    whole = array.offset + array.nbytes
    expect(path.stat().st_size == whole, f"{path.name} is not {whole} bytes long")
    return array


def compare(meta: dict[str, Any], images: np.ndarray, labels: np.ndarray | None) -> None:
    """Raise ValueError unless the arrays are what meta.json says."""
    shape = (meta["packed"], meta["size"], meta["size"], meta["channels"])
    expect(images.dtype == np.uint8, f"images.npy holds {images.dtype}, not uint8")
    expect(images.shape == shape, f"images.npy is {images.shape}, meta.json says {shape}")
    expect(len(images) > 0, "it holds no images")
    if labels is None:
        return
    names = len(meta["label_names"])
    shape, dtype, limit = (len(images),), np.int64, names
    if meta["label_kind"] == "attributes":
        shape, dtype, limit = (len(images), names), np.uint8, 2
    expect(labels.dtype == dtype, f"labels.npy holds {labels.dtype}, not {np.dtype(dtype)}")
    expect(labels.shape == shape, f"labels.npy is {labels.shape}, not {shape}")
    expect(labels.min() >= 0 and labels.max() < limit, "labels.npy has labels without a name")


def expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)
