"""Options of `dcgan visualize`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcgan.config.fields import POSITIONAL
from dcgan.config.sampling import DEFAULT_CHECKPOINT, parse_seeds
from dcgan.config.training import ComputeOptions
from dcgan.config.validation import require, require_ending, require_import, validate_types
from dcgan.errors import UsageError

_MAX_TOP = 100
_MAX_UNITS = 1000  # in one picture
_MAX_SEEDS = 16  # in one picture
_MAX_SIDE = 2**13  # pixels


@dataclass(frozen=True)
class VisualizeConfig:
    """The network, what to show of it, and the picture to write."""

    checkpoint: Path = dataclasses.field(default=DEFAULT_CHECKPOINT, metadata=POSITIONAL)
    """Checkpoint file, run folder, or faces, the networks that come with dcgan."""
    network: str | None = None
    """Another network, as module:function, which returns a torch.nn.Module for images [N, C, H, W]
    in [-1, 1]: torchvision.models:resnet18 for example. The current folder is searched last.
    Default: D of the checkpoint."""
    weights: Path | None = None
    """Weights for --network (.safetensors), by the names of its state_dict. Default: those that it
    comes with."""
    random: bool = False
    """Use random weights, as a baseline: it shows which part of a picture comes from training."""
    of: Literal["D", "G"] = "D"
    """Network of the checkpoint. G: show its feature maps for --seeds."""
    layer: str | None = None
    """Layer. N: the N-th convolution, with the batch norm and activation after it. Or a module's
    name, which has precedence; NAME@2 for its second call; output for the network's result. A wrong
    name lists all. Default: the last convolution with maps larger than 1x1."""
    data: Path | None = None
    """Packed folder: for each unit, show the patches of these images with the strongest responses
    beside their projections. Default: show what another flag asks for."""
    images: int | None = None
    """Number of images of --data to search, evenly spaced. Default: all."""
    top: int = 9
    """Patches for each unit, each of another image."""
    units: str | None = None
    """Units (channels) of the layer, e.g. 0-11 or 3,14,15. Default: for --data, 12 whose strongest
    responses stand out from their others; for --occlusion, the 4 with the strongest maps; else the
    first 64."""
    method: Literal["guided", "deconvnet", "gradient"] = "guided"
    """Projection of a unit to the image. guided: guided backpropagation (Springenberg et al. 2014).
    deconvnet: Zeiler and Fergus 2013, for networks with max pooling; without, as in D, it is the
    same for all images. gradient: the derivative."""
    whole: bool = False
    """Project the whole map of a unit instead of its strongest position."""
    occlusion: Path | None = None
    """Photo: show the responses of units while a grey square covers each part of it. Default: show
    what another flag asks for."""
    square: int | None = None
    """Side of the grey square in pixels. Default: an eighth of the photo's side."""
    filters: bool = False
    """Show the kernels of the first convolution."""
    seeds: str = "0-2"
    """Seeds of the images for the feature maps of G."""
    size: int | None = None
    """Side of the images for --network without --data, in pixels. Default: 64."""
    log: Path | None = None
    """Folder, such as the run's, to add the picture to TensorBoard's images in, as the run
    "visualize". Default: only the file."""
    device: str = ComputeOptions.device
    """Device to compute on: auto, cuda, cuda:N, mps or cpu. auto: cuda if available, else mps, else
    cpu."""
    out: Path = Path("features.png")
    """Picture to write (.png)."""

    def __post_init__(self) -> None:
        validate_types(self)
        require_ending(self.out, ".png", "out")
        require_ending(self.weights, ".safetensors", "weights")
        require_import(self.network, "network", "module:function")
        require(1 <= self.top <= _MAX_TOP, "top", self.top, f"from 1 to {_MAX_TOP}")
        require(self.images is None or self.images > 0, "images", self.images, "positive")
        require(self.square is None or self.square > 0, "square", self.square, "positive")
        valid = self.size is None or 1 <= self.size <= _MAX_SIDE
        require(valid, "size", self.size, f"from 1 to {_MAX_SIDE:,} pixels")
        self.unit_list()
        self.seed_list()
        self._check_subject()
        if self.network is None and (self.weights or self.size):
            option = "weights" if self.weights else "size"
            raise UsageError(f"--{option} is for --network; a checkpoint has its own")

    def _check_subject(self) -> None:
        """Raise UsageError unless the options ask for one picture."""
        asked = [
            flag
            for flag, value in (
                *(("--data", self.data), ("--occlusion", self.occlusion)),
                *(("--filters", self.filters), ("--of G", self.of == "G")),
            )
            if value
        ]
        if not asked:
            raise UsageError("give --data for patches, --occlusion PHOTO, --filters, or --of G")
        if len(asked) > 1:
            raise UsageError(f"{' and '.join(asked)} are different pictures: give one of them")
        if self.of == "G" and (self.network or self.random):
            option = "network" if self.network else "random"
            raise UsageError(f"--{option} cannot be combined with --of G")

    def unit_list(self) -> list[int] | None:
        """The units that are asked for, in order; None for the default."""
        if self.units is None:
            return None
        units = parse_seeds(self.units, "--units")
        if len(units) > _MAX_UNITS:
            raise UsageError(f"--units {self.units}: at most {_MAX_UNITS:,} units in a picture")
        return units

    def seed_list(self) -> list[int]:
        """The seeds, in order."""
        seeds = parse_seeds(self.seeds)
        if len(seeds) > _MAX_SEEDS:
            raise UsageError(f"--seeds {self.seeds}: at most {_MAX_SEEDS} seeds in a picture")
        return seeds
