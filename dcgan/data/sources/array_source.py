"""Images that are one array, with their labels: checked, and read one by one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from dcgan.data.decoding.conversion import Conversion
from dcgan.data.decoding.image import crop_and_resize
from dcgan.data.rows import row_reader
from dcgan.data.sources.base import Source
from dcgan.errors import UserError, printable

_CHANNELS = (1, 3, 4)
_MAX_CLASSES = 2**16
_EXPECTED = "expected are uint8 [N, H, W] or [N, H, W, C] with 1, 3 or 4 channels"


class ArraySource(Source):
    """Images uint8 [N, H, W] or [N, H, W, C], C of 1, 3 or 4 (RGBA), in memory or mapped."""

    in_process = True

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray | None,
        label_names: Sequence[str],
        version: str,
    ):
        super().__init__()
        self.images, self.labels, self.version = images, labels, version
        self.label_names = () if labels is None else tuple(label_names)
        self._rows = row_reader(images)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, i: int) -> str:
        return f"image {i}"

    def fingerprint(self) -> str:
        return self.version

    def read_image(
        self, i: int, size: int, channels: int, crop: int | None, conversion: Conversion
    ) -> np.ndarray:
        pixels = self._rows(np.array([i]))[0]
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
        return crop_and_resize(image, size, channels, crop, conversion)


def check_arrays(
    images: Any, labels: Any, label_names: Any, where: str, version: str = ""
) -> ArraySource:
    """The source of arrays of a user, which `where` names in errors.

    labels: integers [N] of classes, or zeros and ones [N, A] of attributes, or None. The names are
    numbers by default. Raises UserError for other types, shapes and values.
    """
    images = _to_array(images, f"the images of {where}")
    _check_images(images, f"the images of {where}")
    if labels is None:
        if label_names is not None and len(label_names):
            raise UserError(f"{where} has names of labels, but no labels")
        return ArraySource(images, None, (), version)
    labels = _check_labels(_to_array(labels, f"the labels of {where}"), len(images), where)
    count = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
    names = tuple(map(str, range(count)))
    if label_names is not None:
        names = _check_names(label_names, where)
    if len(names) < count or (labels.ndim == 2 and len(names) > count):
        raise UserError(f"{where} has {count:,} labels, but names for {len(names):,}")
    return ArraySource(images, labels, names, version)


def _to_array(values: Any, what: str) -> np.ndarray:
    try:
        return np.asanyarray(values)
    # Of tensors on a GPU, and of lists of images of several sizes.
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{what} cannot be made one array: {printable(str(error))}") from error


def _check_images(images: np.ndarray, what: str) -> None:
    """Raise UserError unless the images have the type and shape of `ArraySource`."""
    shape = "[" + ", ".join(map(str, images.shape)) + "]"
    if images.dtype != np.uint8:
        hint = ""
        if images.dtype.kind == "f":
            hint = ", e.g. (x * 255).round().astype(np.uint8) for values from 0 to 1"
        raise UserError(f"{what} are {images.dtype} {shape}; {_EXPECTED}{hint}")
    if images.ndim == 3 and images.shape[2] in _CHANNELS:
        raise UserError(f"{what} are {shape}; {_EXPECTED}. Is it one image? Then give x[None]")
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in _CHANNELS):
        hint = ""
        if images.ndim == 4 and images.shape[1] in _CHANNELS:
            hint = ". Move the channels to the end: np.moveaxis(x, 1, -1), or x.permute(0, 2, 3, 1)"
        raise UserError(f"{what} are {shape}; {_EXPECTED}{hint}")
    if not images.size:
        raise UserError(f"{what} are {shape}: no pixels")


def _check_names(names: Any, where: str) -> tuple[str, ...]:
    """The names of labels in printable characters. Raises UserError unless they differ."""
    if isinstance(names, np.ndarray):
        names = names.tolist()
    if not isinstance(names, Sequence) or isinstance(names, str | bytes):
        raise UserError(f"the names of labels of {where} are no list")
    found = tuple(
        printable(name.decode(errors="replace") if isinstance(name, bytes) else str(name))
        for name in names
    )
    if len(set(found)) < len(found):
        raise UserError(f"two labels of {where} have the same name: {', '.join(found[:9])}")
    return found


def _check_labels(labels: np.ndarray, count: int, where: str) -> np.ndarray:
    """int64 [N] or uint8 [N, A]. Raises UserError for other labels."""
    if labels.dtype.kind not in "biu":
        raise UserError(f"the labels of {where} are {labels.dtype}; expected are integers")
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    if labels.ndim not in (1, 2) or len(labels) != count or not labels.size:
        shape = "[" + ", ".join(map(str, labels.shape)) + "]"
        raise UserError(f"the labels of {where} are {shape}; expected are [{count}], a class each")
    low, high = labels.min(), labels.max()
    limit = 2 if labels.ndim == 2 else _MAX_CLASSES
    if low < 0 or high >= limit:
        raise UserError(f"the labels of {where} go from {low} to {high}, not 0 to {limit - 1}")
    return labels.astype(np.uint8 if labels.ndim == 2 else np.int64)
