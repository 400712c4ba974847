"""Options of the commands that explore the latent space."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.sampling import DEFAULT_CHECKPOINT, POSITIONAL, SamplingOptions
from dcgan.config.validation import require, validate_types

_MAX_FRAMES = 100_000  # of an animation, which is held in memory
MIN_FRAME_SECONDS = 0.02  # the shortest time for which viewers show a frame


@dataclass(frozen=True)
class WalkConfig(SamplingOptions):
    """Path through latent space, and the animation to write."""

    checkpoint: Path = dataclasses.field(default=DEFAULT_CHECKPOINT, metadata=POSITIONAL)
    """Checkpoint file, run folder, or faces, the generator that comes with dcgan."""
    seeds: str = "0-7"
    """Seeds of the images to visit, in this order and back to the first, e.g. 3,14,15."""
    frames: int = 120
    """Number of frames."""
    seconds: float = 6.0
    """Duration of the animation in seconds."""
    out: Path = Path("walk.gif")
    """Animation to write: .gif, .webp or .png."""

    def __post_init__(self) -> None:
        validate_types(self)
        valid = 1 <= self.frames <= _MAX_FRAMES
        require(valid, "frames", self.frames, f"from 1 to {_MAX_FRAMES:,}")
        shortest, longest = MIN_FRAME_SECONDS * self.frames, 60 * self.frames
        valid = shortest <= self.seconds <= longest
        rule = f"from {shortest:g} to {longest:g} for {self.frames} frames"
        require(valid, "seconds", self.seconds, rule)
