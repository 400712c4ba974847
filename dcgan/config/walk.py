"""Options of `dcgan walk`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcgan.config.fields import POSITIONAL
from dcgan.config.sampling import DEFAULT_CHECKPOINT, SamplingOptions
from dcgan.config.stops import Stop, parse_stops
from dcgan.config.validation import require, validate_types
from dcgan.errors import UsageError

Easing = Literal["linear", "constant-speed", "smoothstep"]

_MAX_FRAMES = 100_000  # of an animation
_MAX_ROWS = 1000  # of a grid of walks, and its columns
MIN_FRAME_SECONDS = 0.02  # the shortest time for which viewers show a frame


@dataclass(frozen=True)
class WalkConfig(SamplingOptions):
    """Path through latent space, and the animation to write."""

    checkpoint: Path = dataclasses.field(default=DEFAULT_CHECKPOINT, metadata=POSITIONAL)
    """Checkpoint file, run folder, or faces, the generator that comes with dcgan."""
    seeds: str = "0-7"
    """Images to visit, in this order and back to the first: seeds, or files of photos, for which
    latents are found first, e.g. 3,14,me.png."""
    closed: bool = True
    """Walk back to the first image, so that the animation repeats without a seam. Otherwise it ends
    at the last image."""
    easing: Easing = "linear"
    """How fast the walk goes. linear: from image to image in equal times; smoothstep: the same,
    but slower near the images, where it comes to rest; constant-speed: in steps of equal length in
    latent space."""
    rows: int = 1
    """Rows of a grid of walks side by side. The first visits --seeds, the next ones visit seeds of
    their own: those of the walk before plus (largest - smallest + 1)."""
    cols: int = 1
    """Columns of the grid of walks."""
    frames: int = 120
    """Number of frames."""
    seconds: float = 6.0
    """Duration of the animation in seconds."""
    out: Path = Path("walk.gif")
    """Animation to write: .gif, .webp, .png or .mp4 (needs pip install "dcgan[video]")."""

    def __post_init__(self) -> None:
        validate_types(self)
        valid = 1 <= self.frames <= _MAX_FRAMES
        require(valid, "frames", self.frames, f"from 1 to {_MAX_FRAMES:,}")
        for name in ("rows", "cols"):
            value = getattr(self, name)
            require(1 <= value <= _MAX_ROWS, name, value, f"from 1 to {_MAX_ROWS:,}")
        shortest, longest = MIN_FRAME_SECONDS * self.frames, 60 * self.frames
        valid = shortest <= self.seconds <= longest
        rule = f"from {shortest:g} to {longest:g} for {self.frames} frames"
        require(valid, "seconds", self.seconds, rule)

    def stops(self) -> list[Stop]:
        """The images to visit, in order. Raises UsageError or UserError where these are none."""
        stops = parse_stops(self.seeds, "--seeds")
        if self.rows * self.cols > 1 and not all(isinstance(stop, int) for stop in stops):
            raise UsageError(f"--seeds {self.seeds}: a grid of walks visits seeds, not photos")
        return stops
