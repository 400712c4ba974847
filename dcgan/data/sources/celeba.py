"""CelebA and CelebAMask-HQ: face photographs, 40 attributes each, and the official split."""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dcgan.config import DataOptions
from dcgan.data.sources.base import file_hash
from dcgan.data.sources.files import Files, base_name, is_image, read_file
from dcgan.data.sources.folder import open_files
from dcgan.data.sources.left_out import describe_left_out
from dcgan.errors import UserError, printable
from dcgan.runtime.downloads import check_download

_SPLITS = {"train": "0", "valid": "1", "test": "2"}


class _Layout(NamedTuple):
    images: str  # the folder of the images
    attributes: tuple[str, ...]
    mapping: tuple[str, ...]  # of the images to those of CelebA that the partition names
    crop: int | None


_LAYOUTS = (
    _Layout("img_align_celeba", ("list_attr_celeba.txt", "list_attr_celeba.csv"), (), 178),
    _Layout(
        "CelebA-HQ-img",
        ("CelebAMask-HQ-attribute-anno.txt",),
        ("CelebA-HQ-to-CelebA-mapping.txt",),
        None,
    ),
)
_LOOSE_IMAGES = f"; move CelebA's into {_LAYOUTS[0].images}, use the source folder for others"
_PARTITION = ("list_eval_partition.txt", "list_eval_partition.csv")
_LISTS = (*_PARTITION, *(name for one in _LAYOUTS for name in (*one.attributes, *one.mapping)))


class _List(NamedTuple):
    """A file of annotations."""

    name: str
    content: bytes


# Finds the file with one of these names.
_Finder = Callable[[tuple[str, ...]], _List | None]


def open_celeba(options: DataOptions, root: Path) -> Files:
    """The `celeba` source: the layouts of the authors, torchvision, Kaggle and CelebAMask-HQ.

    `root` is a folder or an archive. Labels are the 40 attributes, and the split is the official
    one. Without list_attr_celeba the images have no labels; without list_eval_partition all images
    are used. Raises UserError if there are no images, or the files of annotations are damaged.
    """
    root = Path(os.path.abspath(root))
    layouts = [layout for layout in _LAYOUTS if layout.images == root.stem] or _LAYOUTS
    if layouts is not _LAYOUTS:
        root = root.parent
        if root.name in ("Img", layouts[0].images):  # Kaggle's has a folder around the folder
            root = root.parent
    files, layout, find = (_open_archive if root.is_file() else _open_folder)(root, layouts)
    if not len(files):
        raise UserError(f"no images in {files.root}")
    files.default_crop = layout.crop
    if options.split != "all":
        _keep_split(files, layout, find, options.split)
    if attributes := find(layout.attributes):
        _add_attributes(files, attributes)
    else:
        files.notes.append(f"no {layout.attributes[0]}: the images have no labels")
    return files


def _open_folder(root: Path, layouts: Sequence[_Layout]) -> tuple[Files, _Layout, _Finder]:
    for layout in layouts:
        if images := _find_path(root, layout.images, f"{layout.images}.zip"):
            files = open_files(images)
            paths = filter(None, (_find_path(root, name) for name in _LISTS))
            files.digest += file_hash(paths)
            return files, layout, lambda names: _read_beside(root, names)
    zips = ", ".join(printable(path.name) for path in sorted(root.glob("*.zip"))[:3])
    names = " or ".join(layout.images for layout in _LAYOUTS)
    hint = f"; if {zips} holds the images, give it as --root" if zips else ""
    if any(is_image(path.name) for path in root.iterdir()):
        hint += _LOOSE_IMAGES
    raise UserError(f"no {names} folder and no {_LAYOUTS[0].images}.zip in {root}{hint}")


def _open_archive(root: Path, layouts: Sequence[_Layout]) -> tuple[Files, _Layout, _Finder]:
    files = open_files(root, _LISTS)
    for layout in layouts:
        if any(f"/{layout.images}/" in f"/{name}" for name in files.names):
            break
    else:
        names = " or ".join(layout.images for layout in _LAYOUTS)
        found = f"; {describe_left_out(files.left_out)}" if files.left_out else ""
        found += _LOOSE_IMAGES if len(files) else ""
        raise UserError(f"no {names} folder with images in {root}{found}")
    before = len(files)
    files.keep(lambda name: f"/{layout.images}/" in f"/{name}")
    if others := before - len(files):
        files.left_out[f"image outside of {layout.images}"] = others

    def find(names: tuple[str, ...]) -> _List | None:
        for name in files.lists:
            if base_name(name) in names:
                return _List(f"{root}/{printable(name)}", files.read_list(name))
        return _read_beside(root.parent, names)

    return files, layout, find


def _read_beside(root: Path, names: tuple[str, ...]) -> _List | None:
    path = _find_path(root, *names)
    return _List(str(path), read_file(path)) if path and path.is_file() else None


def _find_path(root: Path, *names: str) -> Path | None:
    """The first file or folder with one of these names, in any of the known layouts."""
    for top in ("", "celeba", "CelebA", "CelebAMask-HQ"):
        for sub in ("", "Img", "Anno", "Eval"):
            for name in names:
                path = root / top / sub / name
                if path.is_file() or path.is_dir():
                    return path
    return None


def _keep_split(files: Files, layout: _Layout, find: _Finder, split: str) -> None:
    """Keep the images of a split, all for train if there is no partition. Raises UserError if there
    are none.
    """
    partition, mapping = find(_PARTITION), find(layout.mapping)
    if partition is None or (layout.mapping and mapping is None):
        if split != "train":
            raise UserError(f"no {_PARTITION[0]} for {files.root}, so there is no {split} split")
        files.notes.append(f"no {_PARTITION[0]}: all images are used")
        return
    split_of = {row[0]: row[1] for row in _rows(partition) if len(row) == 2}
    if mapping:  # rows of index, index in CelebA, name in CelebA
        renamed = {f"{row[0]}.jpg": row[2] for row in _rows(mapping) if len(row) == 3}
        split_of = {name: split_of.get(original, "") for name, original in renamed.items()}
    unknown = sum(split_of.get(base_name(name)) not in _SPLITS.values() for name in files.names)
    if unknown:
        name = base_name(partition.name)
        files.notes.append(f"left out {unknown} images that {name} has no split for")
    files.keep(lambda name: split_of.get(base_name(name)) == _SPLITS[split])
    if not len(files):
        raise UserError(f"none of the images in {files.root} is in the {split} split")


def _add_attributes(files: Files, attributes: _List) -> None:
    """Label the images by the rows `name -1 1 ...`. An image without a complete row is refused."""
    rows = _rows(attributes)
    header = next(rows, [])
    # The text file starts with the number of its rows, the CSV file has a name for every column.
    header = next(rows, []) if len(header) == 1 else header[1:]
    if not header:
        raise UserError(f"{attributes.name} has no line of attribute names")
    row_of = {name: bytes(map("1".__eq__, row)) for name, *row in rows if _is_complete(row, header)}
    labels = np.zeros((len(files), len(header)), np.uint8)
    for i, name in enumerate(files.names):
        if row := row_of.get(base_name(name)):
            labels[i] = np.frombuffer(row, np.uint8)
        else:
            files.refused[i] = f"no complete row in {base_name(attributes.name)}"
    files.labels, files.label_names = labels, tuple(map(printable, header))


def _is_complete(row: list[str], header: list[str]) -> bool:
    return len(row) == len(header) and set(row) <= {"1", "-1"}


def _rows(file: _List) -> Iterator[list[str]]:
    """The fields of every line that is not empty. Raises UserError for a web page."""
    check_download(Path(file.name), file.content)
    for line in io.TextIOWrapper(io.BytesIO(file.content), "utf-8-sig", "replace"):
        if row := line.strip():
            yield [field.strip(' "') for field in row.split(",")] if "," in row else row.split()
