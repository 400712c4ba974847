"""Options of `dcgan import`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.fields import POSITIONAL
from dcgan.config.validation import validate_types
from dcgan.errors import UsageError


@dataclass(frozen=True)
class WeightsOptions:
    """Weights of PyTorch's DCGAN example or tutorial."""

    weights: tuple[Path, ...] = dataclasses.field(default=(), metadata=POSITIONAL)
    """Files of weights (.safetensors): netG.safetensors, and netD.safetensors to train on."""


@dataclass(frozen=True)
class FolderOptions:
    """Where the run is written."""

    out: Path = Path("runs/imported")
    """Run folder to write, new or empty."""


@dataclass(frozen=True)
class ImportConfig(FolderOptions, WeightsOptions):
    """Options of `dcgan import`. Raises UsageError for other than one or two files."""

    def __post_init__(self) -> None:
        validate_types(self)
        if not 1 <= len(self.weights) <= 2:
            raise UsageError(
                "name the file of the generator, and that of the discriminator if there is one: "
                f"netG.safetensors netD.safetensors; there are {len(self.weights)} files"
            )
