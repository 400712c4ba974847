"""Options of `dcgan segment train`, `predict` and `evaluate`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dcgan.config.fields import POSITIONAL
from dcgan.config.network_training import NetworkTrainConfig, validate_training
from dcgan.config.training import DeviceOptions
from dcgan.config.validation import (
    require,
    require_at_least,
    require_ending,
    validate_types,
)
from dcgan.errors import UsageError

DISCRIMINATOR = "discriminator"
DRAWN_FACES = Path("faces")  # as --data: the built-in faces with masks of their parts
_LARGE = 128  # pixels: from here on images do without the finest maps


@dataclass(frozen=True)
class FCNOptions:
    """Network: the maps of a backbone, scored and upsampled (Long et al. 2015)."""

    backbone: str = DISCRIMINATOR
    """Network that computes the maps. discriminator: that of this toolkit; vgg16: that of the
    paper, with its dense layers as convolutions; or the name of a network of torchvision, such as
    resnet18."""
    weights: Path | None = None
    """Weights that the backbone starts with: a checkpoint, a run folder or `faces` for
    discriminator, else a safetensors file of torchvision's state dict. Default: random."""
    freeze: bool = False
    """Do not train the backbone, only the layers on top of it."""
    width: int = 32
    """Feature maps of the first layer of a new discriminator."""
    stride: int | None = None
    """Stride of the finest map that is scored: 32, 16 and 8 are the paper's FCN-32s, FCN-16s and
    FCN-8s. Details smaller than the stride are lost. Default: 2 for images below 128 pixels, else
    8."""


@dataclass(frozen=True)
class LearningOptions:
    """Loss and optimizer."""

    optimizer: Literal["adam", "sgd"] = "adam"
    """Optimizer. sgd has momentum, and twice the learning rate for biases, as in the paper."""
    momentum: float = 0.9
    """Momentum of sgd."""
    weight_decay: float = 0.0
    """Weight decay of sgd, of all weights but biases."""
    loss_sum: bool = False
    """Add up the cross-entropy over all pixels instead of taking its mean (the paper's heavy
    learning)."""
    class_weights: Literal["none", "balanced"] = "none"
    """Weights of the classes in the loss. balanced: the median frequency of all classes, divided by
    that of the class (Eigen and Fergus 2015)."""
    crop: int | None = None
    """Side of the squares that are cut out of the images at random, in pixels. Default: the whole
    images."""
    train_images: int | None = None
    """Images to train on, the first ones in the order of --seed. Default: all."""


@dataclass(frozen=True)
class SegmentTrainConfig(NetworkTrainConfig, LearningOptions, FCNOptions):
    """Training of a segmentation network. Raises UsageError for invalid values."""

    data: Path | None = dataclasses.field(default=None, metadata=POSITIONAL)
    """Packed folder with masks made by `dcgan prepare`, or `faces` for the built-in ones. Default:
    that of the run in --out."""
    steps: int = 2000
    """Training steps."""
    batch_size: int = 16
    """Images per step."""
    lr: float = 4e-3
    """Learning rate. With --loss-sum, that of sgd is divided by the pixels of a batch."""
    out: Path = Path("runs/segment")
    """Run folder. If it contains a run, that is resumed, with the options of the run for all flags
    that are left out."""

    def __post_init__(self) -> None:
        validate_types(self)
        require(1 <= self.width <= 1024, "width", self.width, "from 1 to 1024")
        require_at_least(1, self, "stride", "crop", "train_images")
        require(0 <= self.momentum < 1, "momentum", self.momentum, "from 0 to below 1")
        require(0 <= self.weight_decay < 1, "weight_decay", self.weight_decay, "from 0 to below 1")
        for name in ("momentum", "weight_decay"):
            changed = getattr(self, name) != getattr(LearningOptions, name)
            if changed and self.optimizer != "sgd":
                raise UsageError(f"--{name.replace('_', '-')} is for --optimizer sgd")
        if self.freeze and self.weights is None:
            raise UsageError("--freeze needs --weights: a random backbone has nothing to keep")
        validate_training(self, least_batch=1)

    def stride_for(self, size: int) -> int:
        """The stride for images of `size` pixels: --stride, or its default."""
        return self.stride or (2 if size < _LARGE else 8)


_PRESETS: dict[str, dict[str, Any]] = {
    "adam": {},
    # Long et al. 2015, section 4.3, and the solvers that the authors released; learning rates for
    # the mean and the sum over pixels of images in [-1, 1].
    "sgd": dict(
        optimizer="sgd",
        momentum=0.9,
        weight_decay=5e-4,
        batch_size=20,
        lr=0.05,
        out=Path("runs/segment-sgd"),
    ),
    "heavy": dict(
        optimizer="sgd",
        momentum=0.99,
        weight_decay=5e-4,
        batch_size=1,
        lr=5e-3,
        lr_decay="none",
        loss_sum=True,
        out=Path("runs/segment-heavy"),
    ),
}
SEGMENT_PRESETS = {name: SegmentTrainConfig(**options) for name, options in _PRESETS.items()}


@dataclass(frozen=True)
class SegmentPredictConfig:
    """A picture to segment, and the files to write."""

    run: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Run folder or checkpoint file of `dcgan segment train`."""
    picture: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Picture of any size."""
    out: Path = Path("overlay.png")
    """Picture to write (.png): the classes in colour over the picture."""
    index: Path | None = None
    """Mask to write (.png): the index of the class of each pixel, with a palette. Default: none."""
    device: str = DeviceOptions.device
    """Device to compute on: auto, cuda, cuda:N, mps or cpu. auto: cuda if available, else mps, else
    cpu."""

    def __post_init__(self) -> None:
        validate_types(self)
        for name in ("out", "index"):
            require_ending(getattr(self, name), ".png", name)
        if self.out == self.index:
            raise UsageError(f"--out and --index are the same file, {self.out}")


@dataclass(frozen=True)
class SegmentEvaluateConfig:
    """Images to measure a segmentation network on."""

    run: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Run folder or checkpoint file of `dcgan segment train`."""
    data: Path | None = None
    """Packed folder with masks of the same classes, or `faces` for the built-in ones. Default: the
    images that were held out of training."""
    images: int = 1000
    """Most images to measure on."""
    out: Path = Path("segmented.png")
    """Picture to write (.png): examples with their true and predicted classes."""
    device: str = DeviceOptions.device
    """Device to compute on: auto, cuda, cuda:N, mps or cpu. auto: cuda if available, else mps, else
    cpu."""

    def __post_init__(self) -> None:
        validate_types(self)
        require_at_least(1, self, "images")
        require_ending(self.out, ".png", "out")
