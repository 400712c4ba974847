"""The base classes of sources: raw images by index, their labels and masks."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dcgan.data.decoding.conversion import Conversion
from dcgan.data.decoding.image import decode
from dcgan.data.decoding.opening import BadImage

MAX_BYTES = 2**28  # of one image file, or of an array of small images, uncompressed in memory


class Source:
    """Raw images by index, and their labels.

    Every worker process gets a copy. So it is pickled without its labels, and opens files in the
    process that reads them.
    """

    labels: np.ndarray | None = None
    """Class indices int64 [N], or attributes uint8 [N, A] in {0, 1}."""
    label_names: tuple[str, ...] = ()
    """Names of the classes, or of the attributes."""
    mask_names: tuple[str, ...] | None = None
    """Names of the classes of the masks, in index order; (): numbers; None: there are no masks."""
    default_crop: int | None = None
    """Side in pixels of the usual centre crop of this data set; None: the largest square."""
    in_process = False
    """Whether `read_images` is fast or uses threads, so that worker processes would not help."""
    isolated = False
    """Whether reading an image may crash or hang its process, so that only workers may do it."""
    crash_hint = "perhaps because memory is full: try fewer --workers"
    """Probable reason of a crashed worker process, for the error message."""
    chunk = 32
    """Images to read at a time. Ctrl-C waits for them; a large photograph takes 0.1 s."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        """Remarks for the user, one line each."""
        self.left_out: Counter[str] = Counter()
        """The number of files of each kind that are not read as images, e.g. {".txt": 3}."""
        self.origin: dict[str, object] = {}
        """The options that this source was opened with."""

    @property
    def ignored(self) -> int:
        """Number of files that are not read as images."""
        return self.left_out.total()

    def __len__(self) -> int:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "labels": None}

    def build_index(self) -> None:
        """Prepare reading by index. Called before the source is sent to worker processes."""

    def name(self, i: int) -> str:
        """The name of image `i`, in printable characters."""
        raise NotImplementedError

    def unread_name(self, i: int) -> str:
        """A name of image `i` for which nothing is read, unlike for `name`."""
        return f"image {i}"

    def fingerprint(self) -> str:
        """A hash that changes when the raw data do."""
        raise NotImplementedError

    def read_images(
        self,
        indices: Sequence[int],
        size: int,
        channels: int,
        crop: int | None,
        conversion: Conversion | None = None,
    ) -> tuple[np.ndarray, dict[int, str]]:
        """Images as uint8 [len(indices), size, size, channels], zeros where they are bad, and the
        reasons of the bad ones by index.
        """
        conversion = conversion or Conversion()
        images = np.zeros((len(indices), size, size, channels), np.uint8)
        bad = {}
        for row, i in enumerate(indices):
            try:
                images[row] = self.read_image(i, size, channels, crop, conversion)
            except (BadImage, OSError) as error:
                bad[i] = reason_of(error)
        return images, bad

    def read_with_masks(
        self,
        indices: Sequence[int],
        size: int,
        channels: int,
        crop: int | None,
        conversion: Conversion,
    ) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
        """Images as from `read_images`; their masks, uint8 [len(indices), size, size], in the same
        crop, class numbers or IGNORED; and the reasons of those of which either is bad.
        """
        raise NotImplementedError

    def read_image(
        self, i: int, size: int, channels: int, crop: int | None, conversion: Conversion
    ) -> np.ndarray:
        """Image `i` as uint8 [size, size, channels]. Raises BadImage or OSError."""
        raise NotImplementedError


class EncodedSource(Source):
    """A source of encoded image files; a subclass implements `open`."""

    def open(self, i: int) -> AbstractContextManager[BinaryIO]:
        """Open the file of image `i`. Raises BadImage or OSError."""
        raise NotImplementedError

    def read_image(
        self, i: int, size: int, channels: int, crop: int | None, conversion: Conversion
    ) -> np.ndarray:
        with self.open(i) as file:
            return decode(file, size, channels, crop, conversion)


def reason_of(error: BadImage | OSError) -> str:
    """Why an image is bad, in one short line."""
    return error.reason if isinstance(error, BadImage) else error.strerror or str(error)


def file_hash(paths: Iterable[Path]) -> str:
    """SHA-256 of the names, sizes and modification times of files. Raises OSError."""
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        digest.update(
            f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogatepass")
        )
    return digest.hexdigest()
