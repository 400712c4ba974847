"""The base classes of sources: raw images by index, and their labels."""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dcgan.data.decoding.image import BadImage, decode

MAX_BYTES = 2**28  # unpacked into memory: one image file, or an array of small images


class Source:
    """Raw images by index.

    Every worker process gets a copy. So a source pickles small (without its labels), and opens
    files in the process that reads them.
    """

    labels: np.ndarray | None = None
    """Class indices int64 [N], or attributes uint8 [N, A] of 0 and 1."""
    label_names: tuple[str, ...] = ()
    """Names of the classes, or of the attributes."""
    default_crop: int | None = None
    """Side of the centre crop that is usual for this data set; None for all that fits."""
    in_process = False
    """Whether `read_images` is quick or parallel already: worker processes would not help."""
    isolated = False
    """Whether reading an image may crash or hang its process: only worker processes do it."""
    cause_of_death = "perhaps for want of memory: try fewer --workers"
    """What may have ended a worker process, for the error message."""
    chunk = 32
    """Images to ask for at a time. Ctrl-C waits for them; a large photograph takes 0.1 s."""
    ignored = 0
    """The number of other files among the images."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        """Remarks for the user, one line each."""
        self.origin: dict[str, object] = {}
        """The options that this source was opened with."""

    def __len__(self) -> int:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "labels": None}

    def build_index(self) -> None:
        """Make ready to read by index. Called before the source is sent to worker processes."""

    def name(self, i: int) -> str:
        """The name of image `i`, in printable characters."""
        raise NotImplementedError

    def unread_name(self, i: int) -> str:
        """A name of image `i` that is known without reading anything."""
        return f"image {i}"

    def fingerprint(self) -> str:
        """A hash that changes when the raw data do."""
        raise NotImplementedError

    def read_images(
        self, indices: Sequence[int], size: int, channels: int, crop: int | None
    ) -> tuple[np.ndarray, dict[int, str]]:
        """uint8 [len(indices), size, size, channels], and the reasons of bad images by index."""
        images = np.zeros((len(indices), size, size, channels), np.uint8)
        bad = {}
        for row, i in enumerate(indices):
            try:
                images[row] = self.read_image(i, size, channels, crop)
            except BadImage as error:
                bad[i] = error.reason
            except OSError as error:
                bad[i] = error.strerror or str(error)
        return images, bad

    def read_image(self, i: int, size: int, channels: int, crop: int | None) -> np.ndarray:
        """Image `i` as uint8 [size, size, channels]. Raises BadImage or OSError."""
        raise NotImplementedError


class EncodedSource(Source):
    """A source of encoded image files; a subclass implements `open`."""

    def open(self, i: int) -> AbstractContextManager[BinaryIO]:
        """Open the file of image `i`. Raises BadImage or OSError."""
        raise NotImplementedError

    def read_image(self, i: int, size: int, channels: int, crop: int | None) -> np.ndarray:
        with self.open(i) as file:
            return decode(file, size, channels, crop)


def printable(name: str) -> str:
    """`name` with control characters and invalid Unicode escaped: one line, valid UTF-8."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in name
    )


def file_hash(paths: Iterable[Path]) -> str:
    """Hash of the names, sizes and modification times of a few files."""
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        digest.update(
            f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogatepass")
        )
    return digest.hexdigest()
