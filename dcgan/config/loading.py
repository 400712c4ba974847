"""Options of all commands that use the generator of a checkpoint."""

from dataclasses import dataclass

from dcgan.config.training import ComputeOptions


@dataclass(frozen=True)
class GeneratorOptions:
    """How the generator of a checkpoint is loaded."""

    recalibrate: bool = False
    """Recompute G's batch norm statistics over 6,400 latents instead of using those in the
    checkpoint."""
    raw: bool = False
    """Use the weights of the last step instead of their moving average (EMA)."""
    device: str = ComputeOptions.device
    """Device to compute on: auto, cuda, cuda:N, mps or cpu. auto: cuda if available, else mps, else
    cpu."""
