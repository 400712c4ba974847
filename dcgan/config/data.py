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
    "faces", "celeba", "lsun", "folder", "cifar10", "mnist", "fashion-mnist", "svhn", "stl10"
]


FitName = Literal["crop", "pad", "squeeze"]

Levels = Literal["full", "file"] | tuple[float, float]


@dataclass(frozen=True)
class DataOptions:
    """Raw images to load, and how to crop and pack them."""

    source: SourceName = "faces"
    """Data set. faces: cartoon faces that dcgan generates itself; folder: your own
    images."""
    root: Path | None = None
    """Folder, zip or tar of the raw images, or .npy or .npz; required for celeba, lsun and folder.
    mnist, fashion-mnist, cifar10, svhn and stl10 are downloaded into it. Default:
    data/raw/SOURCE."""
    split: Literal["train", "valid", "test", "all"] = "train"
    """Split of the data set to load."""
    classes: tuple[str, ...] = ()
    """Classes to load, e.g. bedroom church_outdoor: LSUN categories, or first-level folders with
    --class-folders. Default: all."""
    class_folders: bool = False
    """Use the first-level folders of --source folder as class labels."""
    count: int = 10_000
    """Number of cartoon faces to generate for --source faces."""
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
class OutputOptions:
    """Where the packed images are written."""

    out: Path = dataclasses.field(kw_only=True)
    """Packed folder to write."""


@dataclass(frozen=True)
class PrepareConfig(OutputOptions, DataOptions, ImageOptions):
    """Options of `dcgan prepare`. Raises UsageError for invalid values."""

    def __post_init__(self) -> None:
        validate_types(self)
        validate_size(self.size)
        validate_data(self)


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
