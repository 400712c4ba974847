"""Options of the data: the raw images, how they are packed, and where to."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcgan.config.networks import ImageOptions, validate_size
from dcgan.config.validation import require, require_at_least, validate_types
from dcgan.errors import UsageError

SourceName = Literal[
    "faces",
    "face-parts",
    "celeba",
    "lsun",
    "folder",
    "voc",
    "cifar10",
    "mnist",
    "fashion-mnist",
    "svhn",
    "stl10",
]

FitName = Literal["crop", "pad", "squeeze"]

_MAX_CLASSES = 255  # of masks: 0 to 254

Levels = Literal["full", "file"] | tuple[float, float]


@dataclass(frozen=True)
class DataOptions:
    """Raw images to load, and how to crop and pack them."""

    source: SourceName = "faces"
    """Data set. faces: cartoon faces that dcgan generates itself; face-parts: the same, with masks
    of their parts; folder: your own images; voc: those of PASCAL VOC that have masks."""
    root: Path | None = None
    """Folder, zip or tar of the raw images, or .npy or .npz; required for celeba, lsun, folder and
    voc. mnist, fashion-mnist, cifar10, svhn and stl10 are downloaded into it. Default:
    data/raw/SOURCE."""
    split: Literal["train", "valid", "test", "all"] = "train"
    """Split of the data set to load."""
    classes: tuple[str, ...] = ()
    """Classes to load, e.g. bedroom church_outdoor: LSUN categories, or first-level folders with
    --class-folders. Default: all."""
    class_folders: bool = False
    """Use the first-level folders of --source folder as class labels."""
    count: int = 10_000
    """Number of cartoon faces to generate for --source faces and face-parts."""
    crop: int | None = None
    """Side of the centre crop, in pixels of the raw image. Default: 178 for celeba, else the
    largest square."""
    fit: FitName = "crop"
    """How oblong pictures become square. crop: the centre is cut out; pad: all of it, with black
    bars; squeeze: all of it, its proportions changed."""
    levels: Levels = "full"
    """Values that become black and white in grey images of 16 or 32 bits. full: 0 and 65535; file:
    the least and the greatest of each image; or two numbers for all images, e.g. 0 4095."""
    max_bad: float = 0.01
    """Largest fraction of unreadable images, which are skipped. Packing fails if it is exceeded."""
    workers: int | None = None
    """Processes that decode images in parallel. Default: one for each CPU that is free."""


@dataclass(frozen=True)
class MaskOptions:
    """Masks of the images, for segmentation."""

    masks: Path | None = None
    """Folder, zip or tar of masks for --source folder: a PNG for each image, with the same relative
    name. Its palette index or grey value is the class of a pixel, 0 to 254; 255 is ignored.
    Default: no masks."""
    mask_names: tuple[str, ...] = ()
    """Names of the classes 0, 1, ... in the masks, e.g. background cat dog. A mask with other
    values is skipped. Default: the numbers up to the largest value."""


@dataclass(frozen=True)
class OutputOptions:
    """Where the packed images are written."""

    out: Path = dataclasses.field(kw_only=True)
    """Packed folder to write."""


@dataclass(frozen=True)
class PrepareConfig(OutputOptions, MaskOptions, DataOptions, ImageOptions):
    """Options of `dcgan prepare`. Raises UsageError for invalid values."""

    def __post_init__(self) -> None:
        validate_types(self)
        validate_size(self.size)
        validate_data(self)
        _validate_masks(self)


def validate_data(options: DataOptions) -> None:
    """Raise UsageError for data options out of range."""
    require_at_least(1, options, "count", "crop", "workers")
    if options.crop is not None and options.fit != "crop":
        raise UsageError(f"--crop cuts out a square: it does not go with --fit {options.fit}")
    levels = options.levels
    if isinstance(levels, tuple):
        valid = len(levels) == 2 and -math.inf < levels[0] < levels[1] < math.inf
        rule = "full, file or two finite numbers, the smaller one first"
        require(valid, "levels", " ".join(map(str, levels)), rule)
    require(0 <= options.max_bad <= 1, "max_bad", options.max_bad, "from 0 to 1")


def _validate_masks(options: PrepareConfig) -> None:
    """Raise UsageError for options of masks that do not apply or are out of range."""
    if options.masks is not None and options.source != "folder":
        raise UsageError(f"--masks is for the folder source, not for {options.source}")
    names = options.mask_names
    if names and options.masks is None:
        raise UsageError("--mask-names are for --masks, the folder of the masks")
    valid = not names or (2 <= len(set(names)) == len(names) <= _MAX_CLASSES and all(names))
    rule = f"from 2 to {_MAX_CLASSES} different names"
    require(valid, "mask_names", " ".join(names), rule)
