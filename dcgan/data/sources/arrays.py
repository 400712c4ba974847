"""Data sets that are arrays of small images: MNIST, Fashion-MNIST, CIFAR-10, SVHN, STL-10."""

import gzip
import math
import zlib
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np

from dcgan.config import DataOptions
from dcgan.data.sources.array_source import ArraySource
from dcgan.data.sources.base import MAX_BYTES, file_hash
from dcgan.errors import UsageError, UserError
from dcgan.runtime.downloads import HEAD_BYTES, check_download

_DIGITS = tuple("0123456789")
_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_OBJECTS = (
    *("airplane", "bird", "car", "cat", "deer"),
    *("dog", "horse", "monkey", "ship", "truck"),
)
# The torchvision class that downloads them, and the names of their labels.
_IDX_SETS = {"mnist": ("MNIST", _DIGITS), "fashion-mnist": ("FashionMNIST", _CLOTHES)}


def _parts_of_split(options: DataOptions) -> list[str]:
    """The parts of a split: train, test or both. Raises UsageError for valid."""
    if options.split == "valid":
        raise UsageError(f"{options.source} has no valid split: --split is train, test or all")
    return ["train", "test"] if options.split == "all" else [options.split]


def open_idx(options: DataOptions, root: Path) -> ArraySource:
    """The `mnist` and `fashion-mnist` sources, from the original files, downloaded if missing.

    Raises UserError if a file is damaged, or missing and cannot be downloaded.
    """
    torchvision_name, label_names = _IDX_SETS[options.source]
    stems = ["train" if part == "train" else "t10k" for part in _parts_of_split(options)]
    kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
    wanted = [f"{stem}-{kind}" for stem in stems for kind in kinds]
    folders = (root, root / "raw", root / torchvision_name / "raw")
    paths = _find_idx(folders, wanted)
    if len(paths) < len(wanted):
        missing = f"{options.source} ({', '.join(wanted)})"
        _download(torchvision_name, root, missing, download=True)
        paths = _find_idx(folders, wanted)
    images = [_read_idx(path, 3) for path in paths[::2]]
    labels = [_read_idx(path, 1) for path in paths[1::2]]
    for i, (part, part_labels) in enumerate(zip(images, labels, strict=True)):
        path, labels_path = paths[2 * i : 2 * i + 2]
        if len(part) != len(part_labels):
            raise UserError(f"{path} has {len(part)} images, but {len(part_labels)} labels")
        if part.shape[1:] != images[0].shape[1:]:
            raise UserError(f"the images of {path} differ in size from those of {paths[0]}")
        if part_labels.max() >= len(label_names):
            raise UserError(
                f"{labels_path} has the label {part_labels.max()}, but the largest is 9"
            )
    return ArraySource(
        np.concatenate(images),
        np.concatenate(labels).astype(np.int64),
        label_names,
        file_hash(paths),
    )


def _find_idx(folders: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """Those of the files that exist, gzipped or not; some mirrors have a dot in their names."""
    found: list[Path] = []
    for name in names:
        variants = (name, name.replace("-idx", ".idx"))
        paths = (folder / (n + gz) for folder in folders for n in variants for gz in ("", ".gz"))
        found += islice(filter(Path.is_file, paths), 1)
    return found


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read an IDX file of bytes: two zeros, 8 for uint8, the number of dimensions, their sizes."""
    check_download(path)  # the page may be compressed too, or not although the file should be
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            if (start := file.read(4)) != bytes([0, 0, 8, dimensions]):
                check_download(path, start + file.read(HEAD_BYTES))
                raise UserError(f"{path} is not an IDX file of {dimensions}-dimensional bytes")
            shape = np.frombuffer(file.read(4 * dimensions), ">u4").tolist()
            count = math.prod(shape)
            # One byte more than declared, to detect a file that is too long.
            data = file.read(count + 1) if 0 < count <= MAX_BYTES else b""
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if len(shape) != dimensions or not count or len(data) != count:
        raise UserError(f"{path} is damaged: it should hold {' x '.join(map(str, shape))} bytes")
    return np.frombuffer(data, np.uint8).reshape(shape)


def open_cifar10(options: DataOptions, root: Path) -> ArraySource:
    """The `cifar10` source. torchvision verifies the MD5 of the files before reading them."""
    sets = [
        _download("CIFAR10", root, options.source, train=part == "train", download=True)
        for part in _parts_of_split(options)
    ]
    images = np.concatenate([one.data for one in sets])  # [N, 32, 32, 3]
    labels = np.concatenate([one.targets for one in sets]).astype(np.int64)
    return ArraySource(images, labels, sets[0].classes, "verified")


def open_svhn(options: DataOptions, root: Path) -> ArraySource:
    """The `svhn` source: cropped digits."""
    try:
        import scipy.io  # noqa: F401
    except ImportError as error:
        raise UserError('svhn is read with SciPy: pip install "dcgan[svhn]"') from error
    sets = [
        _download("SVHN", root, options.source, split=part, download=True)
        for part in _parts_of_split(options)
    ]
    images = np.concatenate([one.data for one in sets])  # [N, 3, 32, 32]
    labels = np.concatenate([one.labels for one in sets]).astype(np.int64)
    return ArraySource(images.transpose(0, 2, 3, 1), labels, _DIGITS, "verified")


def open_stl10(options: DataOptions, root: Path) -> ArraySource:
    """The `stl10` source. `--split all` is train and unlabeled, as is usual for GANs."""
    _parts_of_split(options)
    part = "train+unlabeled" if options.split == "all" else options.split
    one = _download("STL10", root, options.source, split=part, download=True)
    labels = None if options.split == "all" else one.labels.astype(np.int64)
    # torchvision reads these names from a file that it does not verify.
    return ArraySource(one.data.transpose(0, 2, 3, 1), labels, _OBJECTS, "verified")


def _download(class_name: str, root: Path, source: str, **arguments):
    """A torchvision data set, read from `root` or downloaded there. Raises UserError."""
    try:
        from torchvision import datasets
    except ImportError as error:
        raise UserError(
            f"{source} is downloaded by torchvision: pip install torchvision"
        ) from error
    folders = [root / class_name / "raw", root / class_name, root, *root.parents]
    created = [folder for folder in folders if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        return getattr(datasets, class_name)(str(root), **arguments)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        for folder in created:
            with suppress(OSError):  # it is not empty, or was not created
                folder.rmdir()
        for path in sorted([*root.glob("*"), *root.glob("*/*")]):
            if path.is_file():
                check_download(path)
        reason = " ".join(str(error).split())
        raise UserError(
            f"{source} is missing or incomplete in {root}, and the download failed ({reason}). "
            f"Copy the files that torchvision.datasets.{class_name} downloads there"
        ) from error
