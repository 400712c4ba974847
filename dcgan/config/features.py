"""Options of `dcgan features`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.fields import POSITIONAL
from dcgan.config.sampling import DEFAULT_CHECKPOINT
from dcgan.config.training import ComputeOptions
from dcgan.config.validation import require, require_at_least, require_ending, validate_types

_MAX_DRAWS = 10_000
_MAX_PER_CLASS = 100_000


@dataclass(frozen=True)
class FeaturesConfig:
    """Discriminator whose features are classified, and the labelled images."""

    checkpoint: Path = dataclasses.field(default=DEFAULT_CHECKPOINT, metadata=POSITIONAL)
    """Checkpoint file, run folder, or faces, the networks that come with dcgan."""
    data: Path = dataclasses.field(kw_only=True)
    """Packed folder of images with labels, of the size and channels of the checkpoint."""
    per_class: int = 100
    """Labelled images of each class to train on; for attributes, images with and images without
    each."""
    draws: int = 100
    """Random choices of the labelled images. The table has the mean over them, plus or minus 1.96
    standard deviations."""
    test: int | None = None
    """Number of test images; half as many more choose the regularisation. Default: a fifth of the
    images, at most 10,000."""
    cnn_draws: int = 2
    """Of these, how many train a convolutional network with the labels alone, for comparison. It
    takes the most time; 0 leaves it out."""
    autoencoder: Path | None = None
    """Run folder or checkpoint of `dcgan denoise train`, whose encoder becomes a row of the table.
    Default: none."""
    seed: int = 0
    """Seed of the test images, the labelled images and the untrained networks."""
    device: str = ComputeOptions.device
    """Device to compute features on: auto, cuda, cuda:N, mps or cpu. auto: cuda if available, else
    mps, else cpu."""
    out: Path | None = None
    """File (.json) for the table with the scores of every choice and label. Default: none."""

    def __post_init__(self) -> None:
        validate_types(self)
        valid = 1 <= self.per_class <= _MAX_PER_CLASS
        require(valid, "per_class", self.per_class, f"from 1 to {_MAX_PER_CLASS:,}")
        require(2 <= self.draws <= _MAX_DRAWS, "draws", self.draws, f"from 2 to {_MAX_DRAWS:,}")
        valid = 0 <= self.cnn_draws <= self.draws
        require(valid, "cnn_draws", self.cnn_draws, f"from 0 to --draws, {self.draws}")
        require_at_least(2, self, "test")
        require_at_least(0, self, "seed")
        require_ending(self.out, ".json", "out")
