"""Labels in StyleGAN's dataset.json, beside which the folders of images are shards, not classes.

{"labels": [["00000/img00000000.png", 3], ...]}, or null. A label is the number of a class, or a
vector: one-hot vectors are classes, others of zeros and ones attributes (Karras et al. 2020).
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from dcgan.data.sources.files import Files, is_image, split_name
from dcgan.data.sources.left_out import file_kind
from dcgan.errors import UserError, printable
from dcgan.runtime.downloads import check_download

DATASET_JSON = "dataset.json"
_MAX_CLASSES = 2**16
_CUT_SHORT = re.compile(rb'\s*\{\s*"labels"\s*:\s*(\[\s*\[|\{)\s*"')
_SHARD = re.compile(r"(.*/)?\d{5}/img\d{8}\.\w+")


def label_by_dataset_json(files: Files, classes: tuple[str, ...]) -> bool:
    """Label the images by the dataset.json around them; with `classes`, keep only those.

    Returns False if the folders may be classes instead: there is no such file, it is of another
    program, or it has no labels and the folders are no shards. Raises UserError if it is damaged,
    or if it does not have the `classes`.
    """
    name = min(files.lists, key=len, default="")
    table: dict[str, Any] | None = None
    if name:
        folder, where = name.removesuffix(DATASET_JSON), f"{files.root}/{printable(name)}"
        if all(image.startswith(folder) for image in files.names):
            table = _read_table(files.read_list(name), where)
            if table is None:
                files.notes.append(f"no labels are read from {printable(name)}: not of StyleGAN")
    files.left_out.update(
        file_kind(other) for other in files.lists if table is None or other != name
    )
    if table is None:
        return False
    labels = _to_array(list(table.values()), where) if table else "it has none"
    if isinstance(labels, str):
        shards = all(map(_SHARD.fullmatch, files.names))
        if classes and shards:
            raise UserError(f"no class {classes[0]} in {where}: {labels}")
        files.notes.append(f"no labels are read from {printable(name)}: {labels}")
        return shards
    rows = {folder + image: row for row, image in enumerate(table)}
    _label(files, rows, labels, classes, where)
    return True


def _read_table(content: bytes, where: str) -> dict[str, Any] | None:
    """The labels by name, none if the images have none; None for a file of another program.

    Raises UserError for a damaged file, and for a web page.
    """
    check_download(Path(where), content)
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError) as error:
        if _CUT_SHORT.match(content):
            raise UserError(f"{where} is damaged: {error}") from error
        return None
    if not isinstance(whole, dict) or "labels" not in whole:
        return None
    pairs = whole["labels"]
    pairs = list(pairs.items()) if isinstance(pairs, dict) else [] if pairs is None else pairs
    if not isinstance(pairs, list) or (pairs and not any(map(_names_image, pairs))):
        return None
    pairs = [pair for pair in pairs if pair is not None]
    if not all(map(_is_pair, pairs)):
        raise UserError(f'{where} is damaged: its "labels" are no list of names and labels')
    table = {"/".join(split_name(name)): label for name, label in pairs if label is not None}
    return table if all(map(_is_label, table.values())) else None


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)


def _is_label(value: object) -> bool:
    return all(type(n) in (int, float) for n in (value if isinstance(value, list) else [value]))


def _names_image(row: object) -> bool:
    first = row[0] if isinstance(row, list | tuple) and row else None
    return isinstance(first, str) and is_image(first)


def _to_array(values: list[Any], where: str) -> np.ndarray | str:
    """Class numbers int64 [N] or attributes uint8 [N, A]; or why the labels cannot be used.

    Raises UserError for values that are no labels.
    """
    rows = [value if isinstance(value, list) else [value] for value in values]
    shapes = {(isinstance(value, list), len(row)) for value, row in zip(values, rows, strict=True)}
    if len(shapes) > 1:
        raise UserError(
            f"{where} is damaged: its labels are neither class numbers nor vectors of one length"
        )
    try:
        numbers = np.array(rows, np.float64)
    except OverflowError:
        numbers = np.array([[np.inf]])
    if isinstance(values[0], list):
        if not np.isin(numbers, (0, 1)).all() or not numbers.size:
            return "they are vectors of other numbers than 0 and 1"
        if numbers.shape[1] == 1 or (numbers.sum(1) != 1).any():
            return numbers.astype(np.uint8)
        return numbers.argmax(1)
    classes = numbers[:, 0]
    if not (np.isin(classes, np.arange(_MAX_CLASSES))).all():
        raise UserError(f"{where} is damaged: a class number is not from 0 to {_MAX_CLASSES - 1:,}")
    return classes.astype(np.int64)


def _label(
    files: Files, rows: dict[str, int], labels: np.ndarray, classes: tuple[str, ...], where: str
) -> None:
    """Set the labels of the images. An image that has none is refused."""
    there = set(files.names)
    if absent := sum(name not in there for name in rows):
        files.notes.append(f"{DATASET_JSON} labels {absent:,} images that are not there")
    count = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
    names = tuple(map(str, range(count)))
    if classes:
        if labels.ndim == 2:
            raise UserError(f"no class {classes[0]} in {where}: its labels are attributes")
        found = set(map(str, labels.tolist()))
        if missing := [name for name in classes if name not in found]:
            raise UserError(f"no class {missing[0]} in {where}")
        names = tuple(name for name in names if name in classes)
        files.keep(lambda image: image in rows and str(labels[rows[image]]) in classes)
        labels = np.searchsorted(np.array(names, np.int64), labels)  # names ascend
    at = np.array([rows.get(image, -1) for image in files.names], np.int64)
    if (at < 0).all():
        raise UserError(f"{where} has no label for any of the images beside it")
    files.labels, files.label_names = labels[at], names
    for i in np.flatnonzero(at < 0):
        files.refused[int(i)] = f"no label in {DATASET_JSON}"
