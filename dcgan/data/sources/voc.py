"""The segmentation images of PASCAL VOC (Everingham et al. 2010), 2007 to 2012, as distributed."""

from pathlib import Path

from dcgan.config import DataOptions
from dcgan.data.sources.files import Files, is_image
from dcgan.data.sources.folder import open_files
from dcgan.data.sources.masked_files import MaskedFiles, Pair
from dcgan.errors import UserError, printable

CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)
_LISTS = {"train": "train", "valid": "val", "test": "test", "all": "trainval"}
_IMAGES, _MASKS = "JPEGImages/", "SegmentationClass/"


def open_voc(options: DataOptions, root: Path) -> MaskedFiles:
    """The `voc` source: the images that ImageSets/Segmentation lists for a split, with the masks of
    their classes.

    `root` is the folder VOC2012 or one around it, or a zip or tar of it. Names without an image or
    a mask are bad. Raises UserError if there is no list, or one of several years.
    """
    listed = _list_of(options.split)
    files = open_files(root, [f"{name}.txt" for name in _LISTS.values()])
    years = sorted(name.removesuffix(listed) for name in files.lists if _ends_in(name, listed))
    if not years:
        splits = [s for s in _LISTS if any(_ends_in(name, _list_of(s)) for name in files.lists)]
        cure = "give the folder VOCdevkit, or VOC2012 in it"
        if splits:
            cure = f"it has the lists of --split {' and '.join(splits)}"
        raise UserError(f"no {listed} in {root}: {cure}")
    if len(years) > 1:
        found = ", ".join(printable(year.rstrip("/") or ".") for year in years[:9])
        raise UserError(f"{root} holds several sets ({found}): give one of them as --root")
    year = years[0]
    names = _read_names(files, year + listed)
    files.keep(lambda name: name.startswith((year + _IMAGES, year + _MASKS)))
    files.left_out.clear()  # annotations of other tasks
    images = _by_stem(files, year + _IMAGES)
    masks = _by_stem(files, year + _MASKS)
    pairs = []
    for name in names:
        refused = ""
        if name not in images:
            refused = f"no {_IMAGES}{name}.jpg"
        elif name not in masks:
            refused = f"no {_MASKS}{name}.png"
        pairs.append(Pair(name, images.get(name, -1), masks.get(name, -1), printable(refused)))
    return MaskedFiles(files, files, pairs, CLASSES)


def _list_of(split: str) -> str:
    return f"ImageSets/Segmentation/{_LISTS[split]}.txt"


def _ends_in(name: str, path: str) -> bool:
    return f"/{name}".endswith(f"/{path}")


def _read_names(files: Files, listed: str) -> list[str]:
    """The names in a list, each once. Raises UserError if there are none.

    Lists that others have made may hold paths, JPEGImages/2007_000032.jpg or with backslashes.
    """
    text = files.read_list(listed).decode("utf-8-sig", "replace")
    lines = filter(None, map(str.strip, text.splitlines()))
    names = list(dict.fromkeys(map(_bare_name, lines)))
    if not names:
        raise UserError(f"{files.root}/{printable(listed)} names no image")
    return names


def _bare_name(line: str) -> str:
    """A name in a list, without the folder and the extension of its image."""
    name = line.replace("\\", "/").rpartition(_IMAGES)[2]
    return name.rpartition(".")[0] if is_image(name) else name


def _by_stem(files: Files, folder: str) -> dict[str, int]:
    """The indices of the files directly in a folder, by their names without extension."""
    return {
        name.removeprefix(folder).rpartition(".")[0]: i
        for i, name in enumerate(files.names)
        if name.startswith(folder)
    }
