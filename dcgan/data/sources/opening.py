"""Opening of a source of raw images by its name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dcgan.config import DataOptions, MaskOptions
from dcgan.data.sources.arrays import open_cifar10, open_idx, open_stl10, open_svhn
from dcgan.data.sources.base import Source
from dcgan.data.sources.celeba import open_celeba
from dcgan.data.sources.faces import FACE_SOURCES, open_faces
from dcgan.data.sources.folder import open_folder
from dcgan.data.sources.left_out import describe_left_out
from dcgan.data.sources.lsun import open_lsun
from dcgan.data.sources.masked_folder import open_masked_folder
from dcgan.data.sources.voc import open_voc
from dcgan.errors import UsageError, UserError, printable

# They take the options and the root folder or file, which exists or is downloaded.
_OPENERS: dict[str, Callable[[DataOptions, Path], Source]] = {
    "celeba": open_celeba,
    "lsun": open_lsun,
    "folder": open_folder,
    "voc": open_voc,
    "mnist": open_idx,
    "fashion-mnist": open_idx,
    "cifar10": open_cifar10,
    "svhn": open_svhn,
    "stl10": open_stl10,
}
_NAMES = (*FACE_SOURCES, *_OPENERS)
_DOWNLOADED = ("mnist", "fashion-mnist", "cifar10", "svhn", "stl10")
_DOWNLOAD_FOLDER = Path("data/raw")


def open_source(options: DataOptions, masks: MaskOptions | None = None) -> Source:
    """Open the source `options.source`; a folder with its masks, if options of them name any.

    Raises UsageError for options that contradict each other, and UserError if the raw data are
    missing or damaged.
    """
    if options.source not in _NAMES:
        raise UsageError(f"unknown source {options.source!r}; known: {', '.join(_NAMES)}")
    if options.class_folders and options.source != "folder":
        raise UsageError(f"--class-folders is for the folder source, not for {options.source}")
    if options.classes and options.source not in ("folder", "lsun"):
        raise UsageError(f"--classes is for lsun and folder, not for {options.source}")
    try:
        root = _root(options)
        if root is None:
            source: Source = open_faces(options)
        elif masks and masks.masks:
            source = open_masked_folder(options, root, masks.masks, masks.mask_names)
        else:
            source = _OPENERS[options.source](options, root)
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename or options.root}: {error.strerror}"
        ) from error
    if source.left_out:
        source.notes.append(describe_left_out(source.left_out))
    source.origin = origin(options)
    if masks and masks.masks:
        source.origin["masks"] = printable(str(masks.masks.resolve()))
    return source


def origin(options: DataOptions) -> dict[str, Any]:
    """What meta.json says of the options of a source, which need not be there any more."""
    root = options.root
    if root is None and options.source in _DOWNLOADED:
        root = _DOWNLOAD_FOLDER / options.source
    return {
        "source": options.source,
        "root": root and printable(str(root.expanduser().resolve())),
        "split": options.split,
        "classes": list(options.classes),
        "class_folders": options.class_folders,
    }


def _root(options: DataOptions) -> Path | None:
    """The folder or file of the raw data. Raises UsageError or UserError if there is none."""
    if options.source in FACE_SOURCES:
        if options.root is not None:
            raise UsageError(
                "faces are generated and have no --root: give --source for your images, e.g. folder"
            )
        return None
    if options.root is None:
        if options.source in _DOWNLOADED:
            return _DOWNLOAD_FOLDER / options.source
        raise UsageError(f"the source {options.source} needs --root, the folder of its raw images")
    root = options.root.expanduser()
    if not root.exists() and options.source not in _DOWNLOADED:
        raise UserError(f"{root} does not exist (--root)")
    return root
