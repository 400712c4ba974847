"""Photos of the user as images of a generator's shape."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dcgan.config.validation import to_path
from dcgan.data.decoding import BadImage
from dcgan.data.decoding.image import decode
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
    return np.stack([read_photo(to_path(path), G.size, G.channels) for path in paths])


def read_photo(path: Path, size: int, channels: int) -> np.ndarray:
    """One photo, uint8 [size, size, channels], as `read_photos` reads it. Raises UserError."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: name the photos in it")
    if not path.is_file():
        raise UserError(f"{path}: no such photo")
    try:
        with open(path, "rb") as file:
            return decode(file, size, channels, crop=None)
    except BadImage as error:
        raise UserError(f"{path} is no photo that can be read: {error.reason}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
