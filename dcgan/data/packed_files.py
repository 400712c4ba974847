"""The files of a packed folder, read and checked one by one."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from dcgan.data.rows import row_reader

FORMAT = 1
IMAGES, LABELS, MASKS, META = "images.npy", "labels.npy", "masks.npy", "meta.json"
IGNORED = 255  # in a mask: a pixel of no class
_BLOCK_BYTES = 2**22  # read at a time


def read_meta(path: Path) -> dict[str, Any]:
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
    mask_names = meta.get("mask_names", [])  # absent without masks
    _expect(isinstance(mask_names, list), "the mask names in meta.json are no list")
    _expect(all(isinstance(name, str) for name in mask_names), "a mask name is no text")
    _expect(len(mask_names) <= IGNORED, f"there are more than {IGNORED} mask names")
    _expect("label_kind" in meta, "meta.json has no 'label_kind'")
    _expect(meta["label_kind"] in (None, "class", "attributes"), "unknown label_kind")
    return meta


def read_array(path: Path) -> np.ndarray:
    """Memory-map a .npy file. Raises ValueError unless it is complete and in C order."""
    _expect(path.is_file(), f"{path.name} is missing")
    with warnings.catch_warnings(action="ignore"):  # what NumPy says of odd headers
        array = np.lib.format.open_memmap(path, mode="r")
    _expect(array.flags.c_contiguous, f"{path.name} is not in C order")
    expected = array.offset + array.nbytes
    _expect(path.stat().st_size == expected, f"{path.name} is not {expected} bytes long")
    return array


def check_arrays(meta: dict[str, Any], images: np.ndarray, labels: np.ndarray | None) -> None:
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


def check_masks(masks: np.ndarray, shape: tuple[int, ...], classes: int) -> None:
    """Raise ValueError unless the masks are uint8 of a shape, each value a class or IGNORED."""
    _expect(masks.dtype == np.uint8, f"masks.npy holds {masks.dtype}, not uint8")
    _expect(masks.shape == shape, f"masks.npy is {masks.shape}, not {shape}")
    read, block = row_reader(masks), max(1, _BLOCK_BYTES // masks[0].nbytes)
    for first in range(0, len(masks), block):
        rows = read(np.arange(first, min(first + block, len(masks))))
        # IGNORED plus one is 0.
        _expect((rows + np.uint8(1)).max() <= classes, "masks.npy has classes without a name")


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
