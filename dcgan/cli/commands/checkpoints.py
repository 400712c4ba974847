"""The generator that a command draws from."""

from pathlib import Path
from typing import TYPE_CHECKING

from dcgan.config import SamplingOptions

if TYPE_CHECKING:
    from dcgan.networks import Generator


def load_generator(checkpoint: Path, options: SamplingOptions) -> "Generator":
    """The generator of a checkpoint, on the chosen device."""
    from dcgan import sampling
    from dcgan.runtime import device

    device.reuse_freed_memory()
    return sampling.load(
        checkpoint,
        raw=options.raw,
        recalibrate=options.recalibrate,
        device=device.select_device(options.device),
    )
