"""Options of `dcgan direction`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcgan.config.fields import POSITIONAL
from dcgan.config.sampling import DEFAULT_CHECKPOINT, SamplingOptions, parse_seeds
from dcgan.config.validation import (
    format_flag,
    require,
    require_at_least,
    require_ending,
    validate_types,
)
from dcgan.errors import UsageError

_MAX_SAMPLES = 1_000_000  # that a direction is found from
_MAX_SEEDS = 100_000  # of examples, or of images to move
_MAX_STEPS = 100  # of a filmstrip, to each side


@dataclass(frozen=True)
class DirectionConfig(SamplingOptions):
    """Direction of latent space to find, and the filmstrip to write."""

    checkpoint: Path = dataclasses.field(default=DEFAULT_CHECKPOINT, metadata=POSITIONAL)
    """Checkpoint file, run folder, or faces, the generator that comes with dcgan."""
    attribute: str | None = None
    """Label to set, one of those that the classifier knows; or tilt or gaze_x of the built-in
    faces, for the turn vector. Default: none, for directions without labels."""
    method: Literal["edit", "regression", "sefa", "pca"] | None = None
    """How directions are found. edit: for each image apart, by the gradient of the classifier, and
    other labels stay; regression: one direction for all images; sefa, pca: without labels. Default:
    edit where an attribute is given, else sefa."""
    orthogonal_to: str | None = None
    """Labels whose linear scores a direction by regression does not change: hat,bald or all.
    Default: none."""
    with_: str | None = None
    """Seeds of images that have something, e.g. 3,14,15, for a direction from those of --without
    to these. Default: none."""
    without: str | None = None
    """Seeds of images that lack what those of --with have. Default: none."""
    load: Path | None = None
    """File (.safetensors) of directions to show, instead of finding some. Default: none."""
    components: int = 6
    """Number of directions without labels."""
    classifier: Path | None = None
    """File (.safetensors) of the classifier: used if it is there, else trained and written there.
    Default: the one that comes with the generator, or a new one that is not kept."""
    data: Path | None = None
    """Packed folder with labels that the classifier is trained on. Default: that of the run."""
    samples: int = 4000
    """Number of samples that the classifier scores to find a direction."""
    seeds: str = "0-7"
    """Seeds of the images to move, one row each; without labels a row for each direction too."""
    steps: int = 4
    """Columns of the filmstrip to each side of the images of the seeds."""
    out: Path = Path("direction.png")
    """Picture to write (.png). The directions are written beside it, as direction.safetensors."""

    def __post_init__(self) -> None:
        validate_types(self)
        require_ending(self.out, ".png", "out")
        for name in ("load", "classifier"):
            require_ending(getattr(self, name), ".safetensors", name)
        valid = 10 <= self.samples <= _MAX_SAMPLES
        require(valid, "samples", self.samples, f"from 10 to {_MAX_SAMPLES:,}")
        require(1 <= self.steps <= _MAX_STEPS, "steps", self.steps, f"from 1 to {_MAX_STEPS}")
        require_at_least(1, self, "components")
        if (self.with_ is None) != (self.without is None):
            raise UsageError("--with and --without need each other")
        chosen = {
            "--attribute": self.attribute,
            "--with": self.with_,
            "--load": self.load,
            f"--method {self.method}": self.method in ("sefa", "pca") or None,
        }
        given = [name for name, value in chosen.items() if value is not None]
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} exclude each other: leave one out")
        if self.method in ("edit", "regression") and self.attribute is None:
            raise UsageError(f"--method {self.method} needs --attribute, the label to set")
        if self.orthogonal_to is not None and self.method != "regression":
            raise UsageError("--orthogonal-to is for --method regression")
        for name in ("with_", "without", "seeds"):
            text, flag = getattr(self, name), format_flag(name)
            if text is not None and (count := len(parse_seeds(text, flag))) > _MAX_SEEDS:
                raise UsageError(f"{flag} {text}: {count:,} images, and at most {_MAX_SEEDS:,}")
        if self.classifier == self.directions_file():
            raise UsageError(
                f"--classifier {self.classifier} is the file for the directions: name another"
            )

    def directions_file(self) -> Path:
        """The file for the directions."""
        return self.out.with_suffix(".safetensors")
