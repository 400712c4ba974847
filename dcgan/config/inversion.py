"""Options of `dcgan invert`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.fields import POSITIONAL
from dcgan.config.loading import GeneratorOptions
from dcgan.config.validation import require, require_ending, validate_types
from dcgan.errors import UsageError

_MAX_RESTARTS = 1000


@dataclass(frozen=True)
class InvertConfig(GeneratorOptions):
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
