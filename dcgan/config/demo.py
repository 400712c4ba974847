"""Options of `dcgan demo`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.fields import POSITIONAL
from dcgan.config.loading import GeneratorOptions
from dcgan.config.sampling import DEFAULT_CHECKPOINT
from dcgan.config.validation import require, require_ending, validate_types

_MAX_PORT = 65_535


@dataclass(frozen=True)
class DemoConfig(GeneratorOptions):
    """Generator to show, and the address of its page."""

    checkpoint: Path = dataclasses.field(default=DEFAULT_CHECKPOINT, metadata=POSITIONAL)
    """Checkpoint file, run folder, or faces, the generator that comes with dcgan."""
    directions: Path | None = None
    """File (.safetensors) of directions, as dcgan direction writes it, for the sliders. Default:
    directions of labels for faces, else SeFa directions."""
    port: int = 7860
    """Port of the page. 0: any free one."""
    host: str = "127.0.0.1"
    """Address to listen on. The default is reached from this machine alone; 0.0.0.0 is reached from
    the network, by everyone and without a password."""

    def __post_init__(self) -> None:
        validate_types(self)
        require_ending(self.directions, ".safetensors", "directions")
        require(0 <= self.port <= _MAX_PORT, "port", self.port, f"from 0 to {_MAX_PORT:,}")
