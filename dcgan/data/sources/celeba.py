"""CelebA: aligned face photographs, 40 attributes each, and the official split."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dcgan.config import DataOptions
from dcgan.data.sources.base import file_hash
from dcgan.data.sources.folder import Files, open_files
from dcgan.errors import UserError, printable

_IMAGES = "img_align_celeba"
_SPLITS = {"train": "0", "valid": "1", "test": "2"}


def open_celeba(options: DataOptions, root: Path) -> Files:
    """The `celeba` source, in the layout of the authors, of torchvision or of Kaggle.

    Labels are the 40 attributes, and the split is the official one. Without list_attr_celeba the
    images have no labels; without list_eval_partition all images are used. Raises UserError if
    there are no images, or the two files are damaged.
    """
    root = Path(os.path.abspath(root))
    root = root.parent if root.stem == _IMAGES else root
    root = root.parent if root.name == "Img" else root
    images = _find(root, _IMAGES, f"{_IMAGES}.zip")
    if images is None:
        raise UserError(f"no {_IMAGES} folder and no {_IMAGES}.zip in {root}")
    files = open_files(images)
    if not len(files):
        raise UserError(f"no images in {images}")
    files.default_crop = 178
    partition = _find(root, "list_eval_partition.txt", "list_eval_partition.csv")
    attributes = _find(root, "list_attr_celeba.txt", "list_attr_celeba.csv")
    files.digest += file_hash(path for path in (partition, attributes) if path)

    if options.split != "all":
        if partition is None and options.split != "train":
            raise UserError(
                f"no list_eval_partition.txt in {root}, so there is no {options.split} split"
            )
        if partition is None:
            files.notes.append("no list_eval_partition.txt: all images are used")
        else:
            _keep_split(files, partition, options.split)
    if attributes is None:
        files.notes.append("no list_attr_celeba.txt: the images have no labels")
    else:
        _add_attributes(files, attributes)
    return files


def _find(root: Path, *names: str) -> Path | None:
    """The first file or folder with one of these names, in any of the known layouts."""
    for top in ("", "celeba", "CelebA"):
        for sub in ("", "Img", "Anno", "Eval"):
            for name in names:
                path = root / top / sub / name
                if path.is_file() or path.is_dir():
                    return path
    return None


def _keep_split(files: Files, partition: Path, split: str) -> None:
    """Keep the images of a split. Raises UserError if there are none."""
    split_of = {row[0]: row[1] for row in _rows(partition) if len(row) == 2}
    unknown = sum(split_of.get(_base_name(name)) not in _SPLITS.values() for name in files.names)
    if unknown:
        files.notes.append(f"left out {unknown} images that {partition.name} has no split for")
    files.keep(lambda name: split_of.get(_base_name(name)) == _SPLITS[split])
    if not len(files):
        raise UserError(f"none of the images in {files.root} is in the {split} split")


def _add_attributes(files: Files, attributes: Path) -> None:
    """Label the images by the rows `name -1 1 ...`. An image without a complete row is refused."""
    rows = _rows(attributes)
    header = next(rows, [])
    # The text file starts with the number of its rows, the CSV file has a name for every column.
    header = header[1:] if attributes.suffix == ".csv" else next(rows, [])
    if not header:
        raise UserError(f"{attributes} has no line of attribute names")
    row_of = {name: bytes(map("1".__eq__, row)) for name, *row in rows if _is_complete(row, header)}
    labels = np.zeros((len(files), len(header)), np.uint8)
    for i, name in enumerate(files.names):
        if row := row_of.get(_base_name(name)):
            labels[i] = np.frombuffer(row, np.uint8)
        else:
            files.refused[i] = f"no complete row in {attributes.name}"
    files.labels, files.label_names = labels, tuple(map(printable, header))


def _is_complete(row: list[str], header: list[str]) -> bool:
    return len(row) == len(header) and set(row) <= {"1", "-1"}


def _rows(path: Path) -> Iterator[list[str]]:
    """The fields of every line that is not empty. Raises UserError if the file cannot be read."""
    comma = "," if path.suffix == ".csv" else None
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if row := line.strip().split(comma):
                    yield row
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _base_name(name: str) -> str:
    return name.rpartition("/")[2]
