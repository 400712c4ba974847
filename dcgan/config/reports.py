"""Options of `dcgan compare` and `dcgan timelapse`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcgan.config.options import POSITIONAL
from dcgan.config.sampling import MIN_FRAME_SECONDS
from dcgan.config.train_config import TrainConfig
from dcgan.config.validation import require, validate_png


@dataclass(frozen=True)
class CompareConfig:
    """What is compared, and where the picture goes."""

    runs: tuple[Path, ...] = dataclasses.field(default=(), metadata=POSITIONAL)
    """Run folders, two or more."""
    seeds: str = "0-15"
    """Images to draw of each, in a grid."""
    out: Path = Path("compare.png")
    """Picture to write: .png."""
    device: Literal["auto", "cuda", "mps", "cpu"] = TrainConfig.device
    """auto: the fastest there is."""

    def __post_init__(self):
        validate_png(self.out)


@dataclass(frozen=True)
class TimelapseConfig:
    """All that decides a timelapse."""

    run: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Run folder."""
    seconds: float = 8.0
    """How long it lasts; where there are too many grids for that, some are left out."""
    out: Path = Path("timelapse.gif")
    """Animation to write: .gif, .webp or .png."""

    def __post_init__(self):
        require(
            MIN_FRAME_SECONDS <= self.seconds <= 3600,
            "seconds",
            self.seconds,
            f"{MIN_FRAME_SECONDS} to 3600",
        )
