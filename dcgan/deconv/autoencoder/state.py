"""The contents of a checkpoint of a denoising autoencoder."""

from dataclasses import dataclass
from typing import ClassVar

from dcgan.config.denoising import DenoiseTrainConfig
from dcgan.deconv.training import NetworkState
from dcgan.runs.checkpoint import DENOISER


@dataclass(frozen=True)
class DenoisingState(NetworkState):
    """The state of a run after a step.

    `tensors` holds, by name:

    encoder.NAME, decoder.NAME   NAME in the state dict of the encoder, of the decoder
    gate.NAME                    the same of the gate, unless the decoder is a GAN's
    optimizer.KEY.NAME           KEY of Adam's state (step, exp_avg, exp_avg_sq), parameter NAME of
                                 the network, or of the encoder where the decoder is a GAN's
    sums.NAME                    sum of the scalar NAME over `summed_steps`, 0-dim
    """

    kind: ClassVar[str] = DENOISER
    config_class: ClassVar[type[DenoiseTrainConfig]] = DenoiseTrainConfig
    fixed: ClassVar[tuple[str, ...]] = (
        *("width", "kernel_size", "code_dim", "seed", "batch_size", "held_out"),
    )

    size: int  # of the images
    channels: int  # of the images
    frozen: bool  # whether the decoder is that of a GAN
    latent: str  # the distribution that the decoder's latent vectors have

    def _validate(self) -> None:
        super()._validate()
        for name, kind in (("size", int), ("channels", int), ("frozen", bool), ("latent", str)):
            if type(getattr(self, name)) is not kind:
                raise TypeError(f"{name} cannot be {getattr(self, name)!r}")
