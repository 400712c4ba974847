"""Options of `dcgan denoise train`, `apply` and `evaluate`."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from dcgan.config.fields import POSITIONAL
from dcgan.config.network_training import NetworkTrainConfig, validate_training
from dcgan.config.networks import NetworkOptions
from dcgan.config.training import DeviceOptions
from dcgan.config.validation import (
    require,
    require_at_least,
    require_ending,
    validate_types,
)
from dcgan.errors import UsageError

CorruptionName = Literal["gaussian", "masking", "salt-and-pepper"]
_MAX_SIGMA = 2.0  # the whole range of the pixels


@dataclass(frozen=True)
class AutoencoderOptions:
    """Architecture: the blocks of the discriminator, a linear layer to the code, a generator, skip
    connections between them."""

    width: int = 32
    """Feature maps of the layers at half the image size. Each halving of the resolution doubles
    them, up to 8 x width."""
    kernel_size: Literal[4, 5] = NetworkOptions.kernel_size
    """Side of the stride-2 convolution kernels in pixels."""
    code_dim: int = 256
    """Dimension of the code, from which the decoder begins."""
    decoder: Path | None = None
    """Checkpoint file or run folder of an unconditional GAN, whose generator becomes the decoder
    and is not trained: the code is its latent vector and all that it sees, and the networks have
    its options. Default: a new decoder with skip connections, trained with the encoder."""


@dataclass(frozen=True)
class CorruptionOptions:
    """Corruption of the images that the encoder sees (Vincent et al. 2008, 2010)."""

    corruption: CorruptionName = "gaussian"
    """Kind of corruption. gaussian: normal noise is added, and values are clipped to the range of
    pixels, [-1, 1]. masking: some values become 0, medium grey. salt-and-pepper: some values become
    -1 or 1."""
    noise_levels: tuple[float, float] = (0.1, 0.5)
    """Least and greatest noise level; each image gets one between them, half of them one in the
    lowest quarter. For gaussian the standard deviation in units of [-1, 1] (0.5 is 64 of 255 grey
    levels), else the fraction of the values that is replaced."""


@dataclass(frozen=True)
class DenoiseTrainConfig(NetworkTrainConfig, CorruptionOptions, AutoencoderOptions):
    """Training of a denoising autoencoder. Raises UsageError for invalid values."""

    batch_size: int = 16
    """Images per step."""
    lr: float = 3e-3
    """Learning rate."""
    out: Path = Path("runs/denoise")
    """Run folder. If it contains a run, that is resumed, with the options of the run for all flags
    that are left out."""

    def __post_init__(self) -> None:
        validate_types(self)
        _validate_corruption(self.corruption, self.noise_levels)
        for name, most in (("width", 1024), ("code_dim", 4096)):
            value = getattr(self, name)
            require(1 <= value <= most, name, value, f"from 1 to {most}")
        validate_training(self)


@dataclass(frozen=True)
class DenoiseApplyConfig:
    """A picture to denoise, and the file to write."""

    run: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Run folder or checkpoint file of `dcgan denoise train`."""
    picture: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Noisy picture. No noise is added."""
    out: Path = Path("clean.png")
    """Picture to write (.png)."""
    windows: bool = False
    """Keep the size of the picture: denoise overlapping windows of the network's size and blend
    them. For networks trained on details in full resolution (`dcgan prepare --crop` as large as
    --size). Without it the largest square in the centre is resized, as packing does."""
    device: str = DeviceOptions.device
    """Device to compute on: auto, cuda, cuda:N, mps or cpu. auto: cuda if available, else mps, else
    cpu."""

    def __post_init__(self) -> None:
        validate_types(self)
        require_ending(self.out, ".png", "out")


@dataclass(frozen=True)
class DenoiseEvaluateConfig:
    """Images to measure the PSNR on, beside the identity, a median filter and PCA."""

    run: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Run folder or checkpoint file of `dcgan denoise train`."""
    data: Path | None = None
    """Packed folder of images that were not trained on. Default: the held-out images of the run."""
    corruption: CorruptionName | None = None
    """Kind of corruption. Default: that of training."""
    noise_levels: tuple[float, ...] = ()
    """Noise levels. Default: the least, the middle and the greatest of training."""
    images: int = 1000
    """Most images to measure on."""
    out: Path = Path("denoised.png")
    """Picture to write (.png): examples, noisy and denoised by each method."""
    device: str = DeviceOptions.device
    """Device to compute on: auto, cuda, cuda:N, mps or cpu. auto: cuda if available, else mps, else
    cpu."""

    def __post_init__(self) -> None:
        validate_types(self)
        require_at_least(1, self, "images")
        require_ending(self.out, ".png", "out")
        if self.corruption is None and self.noise_levels:
            raise UsageError("--noise-levels needs --corruption, whose units it is in")
        if self.corruption is not None:
            require(bool(self.noise_levels), "noise_levels", "none", "given with --corruption")
            for level in self.noise_levels:
                validate_noise_level(self.corruption, level)


def _validate_corruption(corruption: CorruptionName, levels: tuple[float, ...]) -> None:
    valid = len(levels) == 2 and levels[0] <= levels[1]
    given = " ".join(map(str, levels))
    require(valid, "noise_levels", given, "two numbers, the smaller one first")
    for level in levels:
        validate_noise_level(corruption, level)


def validate_noise_level(corruption: CorruptionName, level: float) -> None:
    """Raise UsageError for an unknown kind of corruption, and for a level that it cannot have."""
    known = get_args(CorruptionName)
    require(corruption in known, "corruption", corruption, f"one of {', '.join(known)}")
    most = _MAX_SIGMA if corruption == "gaussian" else 1.0
    valid = 0 <= level <= most and math.isfinite(level)
    require(valid, "noise_levels", level, f"from 0 to {most:g} for {corruption}")
