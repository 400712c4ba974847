"""Options of `dcgan canvas`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcgan.config.fields import POSITIONAL
from dcgan.config.sampling import DEFAULT_CHECKPOINT, SamplingOptions, parse_seeds
from dcgan.config.validation import require, require_ending, validate_types
from dcgan.errors import UsageError

_MAX_CANVAS_SIDE = 2**16  # pixels
_MAX_CANVAS_PIXELS = 2**27  # 0.4 GB, which image viewers still open
_MAX_SPACING = 1000


@dataclass(frozen=True)
class CanvasConfig(SamplingOptions):
    """One large image from a grid of latents, and the file to write."""

    checkpoint: Path = dataclasses.field(default=DEFAULT_CHECKPOINT, metadata=POSITIONAL)
    """Checkpoint file, run folder, or faces, the generator that comes with dcgan."""
    width: int = 2048
    """Width in pixels."""
    height: int = 512
    """Height in pixels."""
    latents: Literal["interpolated", "independent", "repeated"] = "interpolated"
    """Latents of the grid. interpolated: neighbours change into one another, on great circles
    between anchors. independent: each is sampled on its own. repeated: those of --seeds, in
    turn along rows and columns."""
    seeds: str = "0"
    """One seed, from which each anchor or independent latent gets one of its own by its place. Or
    several, which the anchors take in turn. For repeated latents: the seeds of the images."""
    spacing: int = 4
    """Latents from one anchor to the next, for interpolated latents."""
    stride: Literal[1, 2, 4] = 4
    """Distance of the latents on the grid, in quarters of an image. 4: images lie beside one
    another and join. 2 or 1: images overlap, which gives textures."""
    out: Path = Path("canvas.png")
    """Image to write (.png)."""

    def __post_init__(self) -> None:
        validate_types(self)
        for name in ("width", "height"):
            side = getattr(self, name)
            valid = 1 <= side <= _MAX_CANVAS_SIDE
            require(valid, name, side, f"from 1 to {_MAX_CANVAS_SIDE:,} pixels")
        pixels = self.width * self.height
        if pixels > _MAX_CANVAS_PIXELS:
            raise UsageError(
                f"--width {self.width} --height {self.height}: {pixels:,} pixels are more than "
                f"{_MAX_CANVAS_PIXELS:,}"
            )
        valid = 1 <= self.spacing <= _MAX_SPACING
        require(valid, "spacing", self.spacing, f"from 1 to {_MAX_SPACING:,}")
        require_ending(self.out, ".png", "out")
        if self.latents == "independent" and len(self.seed_list()) > 1:
            raise UsageError(
                f"--seeds {self.seeds}: independent latents come from one seed; for several, "
                f"write --latents repeated"
            )

    def seed_list(self) -> list[int]:
        """The seeds, in order."""
        return parse_seeds(self.seeds)
