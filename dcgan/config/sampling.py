"""Options of `dcgan sample`, and those that all commands share which draw from a generator."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcgan.config.fields import POSITIONAL
from dcgan.config.loading import GeneratorOptions
from dcgan.config.training import ComputeOptions
from dcgan.config.validation import require, require_ending, validate_types
from dcgan.errors import UsageError

_MAX_IMAGES = 10_000_000  # that one command generates
DEFAULT_GRID = Path("samples.png")
DEFAULT_CHECKPOINT = Path("faces")  # which comes with the package


@dataclass(frozen=True)
class SamplingOptions(GeneratorOptions):
    """How images are generated from a checkpoint."""

    truncation: float | None = None
    """Truncation threshold: map each component of z into [-T, T] (after Brock et al. 2019). Smaller
    values give fewer bad images and less variety. Default: no truncation."""
    label: str | None = None
    """Labels to generate with a conditional network: eyeglasses=1,smiling=0, or a class name.
    Default: labels as frequent as in the training images. Attributes left out are as frequent as in
    those that have the others."""
    precision: Literal["auto", "fp32", "bf16"] = ComputeOptions.precision
    """Floating-point format. auto: bf16 where the hardware computes in it, which changes pixel
    values (0 to 255) by 0.3 on average, else fp32."""


@dataclass(frozen=True)
class SampleConfig(SamplingOptions):
    """Images to generate, and the files to write."""

    checkpoint: Path = dataclasses.field(default=DEFAULT_CHECKPOINT, metadata=POSITIONAL)
    """Checkpoint file, run folder, or faces, the generator that comes with dcgan."""
    seeds: str | None = None
    """Seeds of the images: numbers and ranges, e.g. 0-63 or 3,14,15. Default: 0, 1, 2, ... for
    --count images."""
    count: int | None = None
    """Number of images, with seeds 0, 1, 2, ... Default: --rows x --cols, or 64."""
    rows: int | None = None
    """Rows of the grid. Default: as many as the images need."""
    cols: int | None = None
    """Columns of the grid. Default: as many as make the grid about square."""
    out: Path | None = None
    """Grid image to write (.png). Default: samples.png, or no grid with --each or --npy."""
    each: Path | None = None
    """Folder where each image is written as a PNG of its own. Default: none."""
    npy: Path | None = None
    """NumPy file (.npy) where all images are written as uint8 [N, H, W, C]. Default: none."""

    def __post_init__(self) -> None:
        validate_types(self)
        for name in ("count", "rows", "cols"):
            value = getattr(self, name)
            valid = value is None or 1 <= value <= _MAX_IMAGES
            require(valid, name, value, f"from 1 to {_MAX_IMAGES:,}")
        require_ending(self.npy, ".npy", "npy")
        require_ending(self.out, ".png", "out")
        if self.seeds is not None and self.count is not None:
            raise UsageError("give --seeds or --count, not both")
        if self.rows and self.cols and len(self.seed_list()) > self.rows * self.cols:
            raise UsageError(
                f"{len(self.seed_list())} images do not fit --rows {self.rows} --cols {self.cols}"
            )

    def seed_list(self) -> Sequence[int]:
        """The seeds of the images, in order."""
        if self.seeds is not None:
            return parse_seeds(self.seeds)
        cells = self.rows * self.cols if self.rows and self.cols else 64
        return range(self.count or cells)

    def columns(self) -> int | None:
        """Columns of the grid; None for a grid that is about square."""
        return self.cols or (self.rows and -(-len(self.seed_list()) // self.rows))


def parse_seeds(text: str, flag: str = "--seeds") -> list[int]:
    """Seeds in the notation of --seeds: "0-3,7" -> [0, 1, 2, 3, 7]. Raises UsageError, which names
    the flag.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() if dash else not last)):
            raise UsageError(f"{flag} {text}: write numbers and ranges such as 0-63 or 3,14,15")
        if max(len(first), len(last)) > 19:
            raise UsageError(f"{flag}: a seed has at most 19 digits")
        start, stop = int(first), int(last or first)
        if stop < start:
            raise UsageError(f"{flag} {text}: the range {part.strip()} runs backwards")
        if stop - start + len(seeds) >= _MAX_IMAGES:
            raise UsageError(f"{flag} {text}: at most {_MAX_IMAGES:,} images at once")
        seeds += range(start, stop + 1)
    return seeds
