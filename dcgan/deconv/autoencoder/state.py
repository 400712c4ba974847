"""The contents of a checkpoint of a denoising autoencoder."""

from dataclasses import dataclass
from typing import Any

from dcgan.config.denoising import DenoiseTrainConfig, denoise_config_from_dict
from dcgan.errors import UsageError
from dcgan.runs.checkpoint import DENOISER, Checkpoint, damaged
from dcgan.runs.saved_state import SavedState


@dataclass(frozen=True)
class DenoisingState(SavedState):
    """The state of a run after a step.

    `tensors` holds, by name:

    encoder.NAME, decoder.NAME   NAME in the state dict of the encoder, of the decoder
    optimizer.KEY.NAME           KEY of Adam's state (step, exp_avg, exp_avg_sq), parameter NAME of
                                 the network, or of the encoder where the decoder is a GAN's
    sums.NAME                    sum of the scalar NAME over `summed_steps`, 0-dim
    """

    size: int  # of the images
    channels: int  # of the images
    frozen: bool  # whether the decoder is that of a GAN
    latent: str  # the distribution that the decoder's latent vectors have

    def header(self) -> dict[str, Any]:
        return {**super().header(), "kind": DENOISER}

    def _validate(self) -> None:
        super()._validate()
        for name, kind in (("size", int), ("channels", int), ("frozen", bool), ("latent", str)):
            if type(getattr(self, name)) is not kind:
                raise TypeError(f"{name} cannot be {getattr(self, name)!r}")


def config_in(found: Checkpoint) -> DenoiseTrainConfig:
    """The options of the run that a checkpoint is of. Raises UserError for a damaged one."""
    try:
        return denoise_config_from_dict(found.config)
    except (UsageError, TypeError) as error:
        raise damaged(found.path, error) from error
