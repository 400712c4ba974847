"""Options of `dcgan forget`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcgan.config.fields import POSITIONAL
from dcgan.config.sampling import SamplingOptions
from dcgan.config.validation import require, require_at_least, require_ending, validate_types
from dcgan.errors import UsageError

_MAX_SAMPLES = 20_000


@dataclass(frozen=True)
class ForgetConfig(SamplingOptions):
    """Object that a generator is to stop drawing, and the files to write."""

    checkpoint: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Checkpoint file, run folder, or faces, the generator that comes with dcgan."""
    object: str = dataclasses.field(kw_only=True)
    """Object to forget: a class of the segmentation network. A wrong name lists all."""
    segmenter: Path = dataclasses.field(kw_only=True)
    """Run folder or checkpoint file of `dcgan segment train`, for images like those of the
    generator: it finds the object in them."""
    method: Literal["kernels", "maps"] = "kernels"
    """How to forget. kernels: tune the kernels against a segmentation network that goes on learning
    to find the object; maps are dropped for comparison. maps: drop the maps of a layer that show
    the object (Radford et al. 2015), which changes much beside it."""
    layer: int | None = None
    """Layer whose maps are dropped, from 1, the maps of 4x4, up. Default: the second highest, as in
    the paper."""
    maps: int | None = None
    """Number of maps to drop, those with the largest weights in telling the object from the rest.
    Default: all maps with positive weights."""
    keep: float = 150.0
    """Weight of what must stay against what must go, for --method kernels. Smaller: less of the
    object remains, and more of the rest changes."""
    samples: int = 1000
    """Number of samples to learn from, and of others to measure on."""
    attribute: str | None = None
    """Label of the classifier for the images with the object. Default: the one whose name contains
    that of the object."""
    classifier: Path | None = None
    """File (.safetensors) of a classifier to measure with, as `dcgan direction` writes them.
    Default: the one that comes with the generator; without one the segmentation network measures
    alone."""
    save: Path | None = None
    """File (.safetensors) for the generator that has forgotten, a checkpoint for all commands that
    read one. Default: none."""
    out: Path = Path("forget.png")
    """Picture to write (.png): samples that had the object, and the same seeds without it."""

    def __post_init__(self) -> None:
        validate_types(self)
        require_ending(self.out, ".png", "out")
        for name in ("save", "classifier"):
            require_ending(getattr(self, name), ".safetensors", name)
        require_at_least(1, self, "layer", "maps")
        require(0 <= self.keep < float("inf"), "keep", self.keep, "a number of at least 0")
        valid = 10 <= self.samples <= _MAX_SAMPLES
        require(valid, "samples", self.samples, f"from 10 to {_MAX_SAMPLES:,}")
        if self.save is not None:
            self._check_save(self.save.resolve())

    def _check_save(self, place: Path) -> None:
        """Raise UsageError where --save is one of the files that are read."""
        read = {"the generator": self.checkpoint, "--segmenter": self.segmenter}
        for name, path in {**read, "--classifier": self.classifier}.items():
            if path is not None and path.resolve() == place:
                raise UsageError(f"--save {self.save} is the file of {name}: name another --save")
