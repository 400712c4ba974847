"""Options of `dcgan compare` and `dcgan timelapse`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.fields import POSITIONAL
from dcgan.config.training import ComputeOptions
from dcgan.config.validation import require, require_ending, validate_types
from dcgan.config.walk import MIN_FRAME_SECONDS

_MAX_SECONDS = 3600


@dataclass(frozen=True)
class CompareConfig:
    """Runs to compare, and the picture to write."""

    runs: tuple[Path, ...] = dataclasses.field(default=(), metadata=POSITIONAL)
    """Run folders, two or more."""
    seeds: str = "0-15"
    """Seeds of the images shown for each run, e.g. 0-15 or 3,14,15."""
    out: Path = Path("compare.png")
    """Picture to write (.png)."""
    device: str = ComputeOptions.device
    """Device to compute on. auto: cuda if available, else mps, else cpu."""

    def __post_init__(self) -> None:
        validate_types(self)
        require_ending(self.out, ".png", "out")


@dataclass(frozen=True)
class TimelapseConfig:
    """Run to show, and the animation to write."""

    run: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Run folder."""
    seconds: float = 8.0
    """Duration of the animation in seconds. If the run has too many sample grids for it, some are
    left out evenly."""
    out: Path = Path("timelapse.gif")
    """Animation to write: .gif, .webp, .png or .mp4 (needs pip install "dcgan[video]")."""

    def __post_init__(self) -> None:
        validate_types(self)
        validate_duration(self.seconds)


def validate_duration(seconds: float) -> None:
    """Raise UsageError unless the duration of a timelapse is in its range."""
    valid = MIN_FRAME_SECONDS <= seconds <= _MAX_SECONDS
    require(valid, "seconds", seconds, f"from {MIN_FRAME_SECONDS} to {_MAX_SECONDS}")
