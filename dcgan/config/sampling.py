"""Options of `dcgan sample` and `dcgan walk`."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcgan.config.options import POSITIONAL
from dcgan.config.train_config import TrainConfig
from dcgan.config.validation import require, validate_png
from dcgan.errors import UsageError

MAX_IMAGES = 10_000_000  # images at once
MAX_FRAMES = 100_000  # which are all in memory
MIN_FRAME_SECONDS = 0.02  # seconds: viewers show no frame for less


@dataclass(frozen=True)
class SamplingOptions:
    """What sampling and walking share."""

    truncation: float | None = None
    """Keep latents within this many standard deviations: less variety, fewer failures."""
    label: str | None = None
    """What a network trained with --conditional is asked for: eyeglasses=1,smiling=0 or a class.
    What is not named is as in the images it was trained on."""
    recalibrate: bool = False
    """Compute batch norm's statistics anew, over 6,400 latents."""
    raw: bool = False
    """Use the weights of the last step, not their average."""
    precision: Literal["auto", "fp32", "bf16"] = TrainConfig.precision
    """auto: bf16 where the processor has it, which moves a value of 0-255 by 0.3 on average."""
    device: Literal["auto", "cuda", "mps", "cpu"] = TrainConfig.device
    """auto: the fastest there is."""


@dataclass(frozen=True)
class SampleConfig(SamplingOptions):
    """All that decides a sample."""

    checkpoint: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Checkpoint file or run folder."""
    seeds: str | None = None
    """Which images: numbers and ranges, e.g. 0-63 or 3,14,15. Default: from 0, as many as fit."""
    count: int | None = None
    """How many images, from seed 0 on. Default: as many as --rows and --cols hold, else 64."""
    rows: int | None = None
    """Rows of the grid."""
    cols: int | None = None
    """Columns of the grid."""
    out: Path | None = None
    """Grid to write. Default: samples.png, unless --each or --npy is given."""
    each: Path | None = None
    """Folder to write every image to as a file of its own."""
    npy: Path | None = None
    """File to write all images to as one uint8 array [N, H, W, C]."""

    def __post_init__(self):
        for name in ("count", "rows", "cols"):
            value = getattr(self, name)
            require(
                value is None or 1 <= value <= MAX_IMAGES, name, value, f"from 1 to {MAX_IMAGES:,}"
            )
        if self.npy is not None and self.npy.suffix.lower() != ".npy":
            raise UsageError(f"--npy {self.npy}: the name of an array ends in .npy")
        if self.out is not None:
            validate_png(self.out)
        if self.seeds is not None and self.count is not None:
            raise UsageError("give --seeds or --count, not both")
        if self.rows and self.cols and len(self.seed_list()) > self.rows * self.cols:
            raise UsageError(
                f"{len(self.seed_list())} images do not fit --rows {self.rows} --cols {self.cols}"
            )

    def seed_list(self) -> Sequence[int]:
        """The seeds that the flags stand for."""
        if self.seeds is not None:
            return parse_seeds(self.seeds)
        cells = self.rows * self.cols if self.rows and self.cols else 64
        return range(self.count or cells)

    def columns(self) -> int | None:
        """Columns of the grid; None leaves them to the grid."""
        return self.cols or (self.rows and -(-len(self.seed_list()) // self.rows))


@dataclass(frozen=True)
class WalkConfig(SamplingOptions):
    """All that decides a walk."""

    checkpoint: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Checkpoint file or run folder."""
    seeds: str = "0-7"
    """Images to pass through, in this order, and back to the first."""
    frames: int = 120
    """Frames of the animation."""
    seconds: float = 6.0
    """How long one round lasts."""
    out: Path = Path("walk.gif")
    """Animation to write: .gif, .webp or .png."""

    def __post_init__(self):
        valid = 1 <= self.frames <= MAX_FRAMES
        require(valid, "frames", self.frames, f"from 1 to {MAX_FRAMES:,}")
        shortest, longest = MIN_FRAME_SECONDS * self.frames, 60 * self.frames
        valid = shortest <= self.seconds <= longest
        rule = f"from {shortest:g} to {longest:g} for {self.frames} frames"
        require(valid, "seconds", self.seconds, rule)


def parse_seeds(text: str) -> list[int]:
    """ "0-3,7" -> [0, 1, 2, 3, 7]. Raises UsageError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() if dash else not last)):
            raise UsageError(f"--seeds {text}: write numbers and ranges such as 0-63 or 3,14,15")
        if len(part) > 40:
            raise UsageError("--seeds: a number has at most 19 digits")
        start, stop = int(first), int(last or first)
        if stop < start:
            raise UsageError(f"--seeds {text}: {stop} comes before {start}")
        if stop - start + len(seeds) >= MAX_IMAGES:
            raise UsageError(f"--seeds {text}: at most {MAX_IMAGES:,} at once")
        seeds += range(start, stop + 1)
    return seeds
