"""Images in a .npy or .npz file of NumPy."""

import warnings
import zipfile
from pathlib import Path

import numpy as np

from dcgan.data.sources.array_source import ArraySource, check_arrays
from dcgan.data.sources.base import file_hash
from dcgan.errors import UserError, printable
from dcgan.runtime.downloads import check_download

ARRAY_EXTENSIONS = (".npy", ".npz")
_MAX_NPZ_BYTES = 2**32  # of one array, which is held in memory


def open_array_file(root: Path) -> ArraySource:
    """The images in NAME.npy, with labels in NAME_labels.npy if that is there; or in a .npz.

    A .npz holds `images`, and may hold `labels` and `label_names`; or it holds one array. A .npy is
    mapped, a .npz is read into memory. Raises UserError if they are damaged, or no images.
    """
    if root.suffix.lower() == ".npz":
        arrays = _read_npz(root)
        images = arrays.get("images", next(iter(arrays.values())) if len(arrays) == 1 else None)
        if images is None:
            found = ", ".join(map(printable, list(arrays)[:9]))
            raise UserError(f"{root} holds the arrays {found}, and none is named images")
        labels, names = arrays.get("labels"), arrays.get("label_names")
        return check_arrays(images, labels, names, str(root), file_hash([root]))
    beside = root.with_name(f"{root.stem}_labels.npy")
    labels_there = beside.is_file()
    images, labels = _map_npy(root), _map_npy(beside) if labels_there else None
    version = file_hash([root, beside] if labels_there else [root])
    return check_arrays(images, labels, None, str(root), version)


def _map_npy(path: Path) -> np.ndarray:
    check_download(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # what NumPy says of odd headers
            array = np.lib.format.open_memmap(path, mode="r")
    # For damaged headers NumPy raises many kinds of exceptions.
    except Exception as error:
        raise UserError(f"cannot read {path}: {_reason(error)}") from error
    if not array.flags.c_contiguous:
        raise UserError(f"{path} is in Fortran order: save np.ascontiguousarray of it")
    return array


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz by name; those that take no part are not read if one is `images`."""
    check_download(path)
    if not zipfile.is_zipfile(path):
        raise UserError(f"cannot read {path}: it is not a complete zip of arrays")
    try:
        with np.load(path, allow_pickle=False) as archive, warnings.catch_warnings(action="ignore"):
            names = [name for name in ("images", "labels", "label_names") if name in archive.files]
            if "images" not in names:
                names = archive.files
                if len(names) != 1:
                    return dict.fromkeys(names, np.empty(0))
            for info in archive.zip.infolist():
                name = info.filename.removesuffix(".npy")
                if name in names and info.file_size > _MAX_NPZ_BYTES:
                    raise ValueError(f"{name}: over {_MAX_NPZ_BYTES:,} bytes, save it as .npy")
            return {name: archive[name] for name in names}
    except Exception as error:
        raise UserError(f"cannot read {path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if "object" in str(error).lower() or "pickle" in str(error):
        return "no plain array of numbers; Python objects are not read"
    return printable(str(error)) or type(error).__name__
