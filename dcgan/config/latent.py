"""Options of the commands that explore the latent space."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcgan.config.sampling import DEFAULT_CHECKPOINT, POSITIONAL, REPEATED, SamplingOptions
from dcgan.config.stops import Stop, parse_stops
from dcgan.config.training import ComputeOptions
from dcgan.config.validation import require, require_ending, validate_types
from dcgan.errors import UsageError

Easing = Literal["linear", "constant-speed", "smoothstep"]

_MAX_FRAMES = 100_000  # of an animation
_MAX_ROWS = 1000  # of a grid of walks, and its columns
_MAX_RESTARTS = 1000
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


@dataclass(frozen=True)
class ArithmeticConfig(SamplingOptions):
    """Operands of vector arithmetic, and the figure to write."""

    checkpoint: Path = dataclasses.field(default=DEFAULT_CHECKPOINT, metadata=POSITIONAL)
    """Checkpoint file, run folder, or faces, the generator that comes with dcgan."""
    plus: tuple[str, ...] = dataclasses.field(default=(), metadata=REPEATED)
    """Operand to add, the mean of some exemplars: seeds and photos (3,14,me.png), or a label
    (smiling=1,hat=0, or label:7 for one that reads as a seed). Can be given several times."""
    minus: tuple[str, ...] = dataclasses.field(default=(), metadata=REPEATED)
    """Operand to subtract. Can be given several times."""
    exemplars: int = 3
    """Exemplars of an operand that is a label."""
    out: Path = Path("arithmetic.png")
    """Figure to write (.png)."""

    def __post_init__(self) -> None:
        validate_types(self)
        require(1 <= self.exemplars <= 100, "exemplars", self.exemplars, "from 1 to 100")
        require_ending(self.out, ".png", "out")
        if not self.plus:
            raise UsageError("name what to add: --plus 3,14,15 --minus 9,26,5 --plus 35,8,97")


@dataclass(frozen=True)
class InvertConfig:
    """Photos to find the latents of, and the files to write."""

    checkpoint: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Checkpoint file, run folder, or faces, the generator that comes with dcgan."""
    photos: tuple[Path, ...] = dataclasses.field(default=(), metadata=POSITIONAL)
    """Image files. Of each, the largest square in the centre is used."""
    out: Path = Path("inverted.png")
    """Picture to write (.png): the photos, and below them what the generator makes of them. The
    latents are written beside it, as inverted.safetensors."""
    label: str | None = None
    """Labels of the photos, for a conditional network: eyeglasses=1,smiling=0, or a class name.
    Default: what an encoder sees, which is trained first."""
    restarts: int = 2
    """Random latents to search from again, for photos that the generator does not make closely."""
    encoder: Path | None = None
    """File (.safetensors) of an encoder, whose guesses the search starts from. If there is none
    yet, one is trained and written there. Default: the one that comes with the generator; without
    one the search starts from the mean latent."""
    recalibrate: bool = False
    """Recompute G's batch norm statistics over 6,400 latents instead of using those in the
    checkpoint."""
    raw: bool = False
    """Use the weights of the last step instead of their moving average (EMA)."""
    device: str = ComputeOptions.device
    """Device to compute on: auto, cuda, cuda:N, mps or cpu. auto: cuda if available, else mps, else
    cpu."""

    def __post_init__(self) -> None:
        validate_types(self)
        if not self.photos:
            raise UsageError("name a photo after the checkpoint: dcgan invert RUN photo.png")
        require_ending(self.out, ".png", "out")
        require_ending(self.encoder, ".safetensors", "encoder")
        valid = 0 <= self.restarts <= _MAX_RESTARTS
        require(valid, "restarts", self.restarts, f"from 0 to {_MAX_RESTARTS:,}")
        if self.encoder == self.latents_file():
            raise UsageError(f"--encoder {self.encoder} is the file for the latents: name another")

    def latents_file(self) -> Path:
        """The file for the latents."""
        return self.out.with_suffix(".safetensors")
