"""A source of some of the images of another source."""

from collections.abc import Sequence

import numpy as np

from dcgan.data.decoding.conversion import Conversion
from dcgan.data.sources.base import Source


class Subset(Source):
    """The images `indices` of another source, in this order."""

    def __init__(self, source: Source, indices: np.ndarray):
        super().__init__()
        self.source, self.indices = source, indices
        self.labels = None if source.labels is None else source.labels[indices]
        self.label_names, self.default_crop = source.label_names, source.default_crop
        self.in_process, self.chunk, self.origin = source.in_process, source.chunk, source.origin
        self.isolated, self.crash_hint = source.isolated, source.crash_hint

    def __len__(self) -> int:
        return len(self.indices)

    def build_index(self) -> None:
        self.source.build_index()

    def name(self, i: int) -> str:
        return self.source.name(int(self.indices[i]))

    def unread_name(self, i: int) -> str:
        return self.source.unread_name(int(self.indices[i]))

    def read_images(
        self,
        indices: Sequence[int],
        size: int,
        channels: int,
        crop: int | None,
        conversion: Conversion | None = None,
    ) -> tuple[np.ndarray, dict[int, str]]:
        original = [int(self.indices[i]) for i in indices]
        images, bad = self.source.read_images(original, size, channels, crop, conversion)
        return images, {i: bad[j] for i, j in zip(indices, original, strict=True) if j in bad}
