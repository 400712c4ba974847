"""Options that the trainings of single networks share: images, optimization, the run folder."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from dcgan.config.training import DeviceOptions
from dcgan.config.validation import MIN_IMAGES, require, require_at_least
from dcgan.errors import UsageError


@dataclass(frozen=True)
class ImagesOptions:
    """Images to learn from."""

    data: Path | None = None
    """Packed folder made by `dcgan prepare`. Default: that of the run in --out."""
    held_out: int = 1000
    """Images that are kept from training, chosen by --seed, for the scores in the log and at the
    end. At most a fifth of all images are."""
    flip: bool = True
    """Mirror images horizontally with probability 0.5."""


@dataclass(frozen=True)
class OptimizationOptions:
    """Optimizer, training length and batches."""

    steps: int = 10_000
    """Training steps."""
    batch_size: int = 64
    """Images per step."""
    lr: float = 1e-3
    """Learning rate."""
    lr_decay: Literal["none", "linear", "cosine"] = "cosine"
    """Learning rate schedule. none: constant; linear and cosine: decay from --lr to 0 at the last
    step, along a line or half a cosine."""
    seed: int = 0
    """Random seed of the initial weights, the held-out images, the shuffle and the corruption."""


@dataclass(frozen=True)
class RunOptions:
    """Output folder, and how often the run is logged and saved."""

    out: Path = Path("runs/network")
    """Run folder. If it contains a run, that is resumed, with the options of the run for all flags
    that are left out."""
    log_every: int = 50
    """Steps between two lines of metrics.jsonl and points in TensorBoard."""
    sample_every: int = 500
    """Steps between two pictures of held-out images with their scores."""
    save_every: int = 1000
    """Steps between two checkpoints."""
    keep: int = 3
    """Number of latest checkpoints to keep. 0: all."""


@dataclass(frozen=True)
class NetworkTrainConfig(RunOptions, DeviceOptions, OptimizationOptions, ImagesOptions):
    """Training of a single network."""

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON holds them: paths become strings, tuples become lists."""
        values = dataclasses.asdict(self)
        kinds = {Path: str, tuple: list}
        for name, value in values.items():
            for kind, plain in kinds.items():
                if isinstance(value, kind):
                    values[name] = plain(value)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises UsageError for unknown or invalid options."""
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise UsageError(f"{', '.join(unknown)}: no options of this dcgan")
        return cls(**values)


def validate_training(options: NetworkTrainConfig, least_batch: int = 2) -> None:
    """Raise UsageError for options of a training that are out of range."""
    require_at_least(MIN_IMAGES, options, "held_out")
    require_at_least(1, options, "steps", "threads", "log_every", "sample_every", "save_every")
    require_at_least(0, options, "keep", "seed")
    require(options.seed < 2**63, "seed", options.seed, "below 2^63")
    reason = " (for batch norm)" if least_batch > 1 else ""
    size = options.batch_size
    require(size >= least_batch, "batch_size", size, f"at least {least_batch}{reason}")
    require(0 < options.lr < 1, "lr", options.lr, "between 0 and 1")
    printable = str(options.out).isprintable()  # TensorBoard cannot log to other names
    require(printable, "out", ascii(str(options.out)), "a printable name")
