"""Photos of the user as images of a generator's shape."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dcgan.config.validation import to_path
from dcgan.data.decoding import BadImage
from dcgan.data.decoding.image import decode, decode_whole
from dcgan.errors import UsageError, UserError
from dcgan.networks import Generator

_MAX_PHOTOS = 10_000


def read_photos(G: Generator, paths: Sequence[Path]) -> np.ndarray:
    """Photos in the shape of G's images, uint8 [N, S, S, C], converted as packing does: the largest
    square in the centre, resized, as grey or colour as G is.

    Raises UserError for a file that is missing or no image, UsageError for no or too many photos.
    """
    if isinstance(paths, str | Path) or not 1 <= len(paths) <= _MAX_PHOTOS:
        raise UsageError(f"name from 1 to {_MAX_PHOTOS:,} photos")
    return np.stack([read_photo(path, G.size, G.channels) for path in paths])


def read_photo(path: Path, size: int, channels: int) -> np.ndarray:
    """A photo as an image uint8 [size, size, channels], see `read_photos`. Raises UserError."""
    return _read(path, lambda file: decode(file, size, channels, crop=None))


def read_whole_photo(path: Path, channels: int) -> np.ndarray:
    """All of a photo in its own size, grey or colour: uint8 [H, W, channels]. Raises UserError."""
    return _read(path, lambda file: decode_whole(file, channels))


def _read(path: Path, decode_file: Callable[[BinaryIO], np.ndarray]) -> np.ndarray:
    path = to_path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder: name the photos in it")
    if not path.is_file():
        raise UserError(f"{path}: no such photo")
    try:
        with open(path, "rb") as file:
            return decode_file(file)
    except BadImage as error:
        raise UserError(f"{path} is no photo that can be read: {error.reason}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
