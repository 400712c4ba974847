"""Options of what judges a generator: `dcgan evaluate` and `dcgan neighbours`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.options import POSITIONAL
from dcgan.config.sampling import SamplingOptions
from dcgan.config.validation import MIN_IMAGES, require, validate_png
from dcgan.errors import UsageError

DEFAULT_MAX_IMAGES = 50_000  # generated where --count is not given, as in most papers
DEFAULT_MEMORIZATION_IMAGES = 1000  # searched for copies of training images


@dataclass(frozen=True)
class EvaluateConfig(SamplingOptions):
    """All that decides an evaluation."""

    checkpoint: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Checkpoint file or run folder."""
    data: Path = dataclasses.field(kw_only=True)
    """Packed folder of real images to compare with."""
    count: int | None = None
    """Images to generate, of seeds 0, 1, 2, ... Default: as many as there are real ones, at most
    50,000."""
    reals: int | None = None
    """Real images to take, by chance but always the same. Default: all, or all with --label."""
    fidelity: bool = False
    """FID, KID, Inception Score, precision and recall on Inception's features too, by
    torch-fidelity (pip install "dcgan[metrics]"), which downloads Inception's weights."""
    weights: Path | None = None
    """File with Inception's weights (weights-inception-2015-12-05-6726825d.pth of torch-fidelity)
    for machines without a network. torch-fidelity unpickles it, so it must be one you trust."""
    extractor: str | None = None
    """module:Class of features of yours, compared as the built-in ones are: a torch module or a
    callable, uint8 [N, 3, S, S] -> [N, F]. Found from where you are, too."""

    def __post_init__(self):
        validate_evaluation(self.count, self.reals, self.fidelity, self.weights, self.extractor)


@dataclass(frozen=True)
class NeighboursConfig(SamplingOptions):
    """All that decides a report on memorised images."""

    checkpoint: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Checkpoint file or run folder."""
    data: Path = dataclasses.field(kw_only=True)
    """Packed folder of the images that it was trained on."""
    held_out: Path | None = None
    """Packed folder of images of the same kind that it was not trained on. Default: a tenth of
    --data is set apart and stands for them, which tells less."""
    count: int = DEFAULT_MEMORIZATION_IMAGES
    """Images to generate, of seeds 0, 1, 2, ..."""
    out: Path = Path("neighbours.png")
    """Picture to write: the samples nearest to a training image, beside their neighbours."""

    def __post_init__(self):
        validate_memorization(self.count, self.out)


def validate_evaluation(
    count: int | None,
    reals: int | None,
    fidelity: bool,
    weights: Path | None,
    extractor: str | None,
) -> None:
    """Raise UsageError unless a checkpoint can be evaluated so."""
    for name, value in {"count": count, "reals": reals}.items():
        require(value is None or value >= MIN_IMAGES, name, value, f"at least {MIN_IMAGES}")
    if weights and not fidelity:
        raise UsageError("--weights needs --fidelity: it is the file of Inception's weights")
    if extractor is not None and not all(extractor.partition(":")):
        raise UsageError(f"--extractor {extractor}: write it as module:Class")


def validate_memorization(count: int, out: Path) -> None:
    """Raise UsageError unless memorised images can be searched for so."""
    require(count >= MIN_IMAGES, "count", count, f"at least {MIN_IMAGES}")
    validate_png(out)
