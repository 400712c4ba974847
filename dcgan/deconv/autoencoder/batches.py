"""The batches of a denoising autoencoder."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcgan.config.denoising import DenoiseTrainConfig
from dcgan.data import PackedImages
from dcgan.deconv.autoencoder.corruption import corrupt, sample_corruption
from dcgan.deconv.training.held_out import hold_out
from dcgan.training.image_loader import ImageLoader


class DenoisingBatch(NamedTuple):
    """The inputs of a training step, on the device."""

    clean: Tensor  # [n, C, S, S] in [-1, 1]
    corrupted: Tensor  # [n, C, S, S] in [-1, 1]


class DenoisingLoader(ImageLoader[DenoisingBatch]):
    """Loads the images of any step and corrupts them, as a pure function of the seed and the
    step.
    """

    def __init__(self, packed: PackedImages, config: DenoiseTrainConfig, device: torch.device):
        super().__init__(
            packed.images,
            device,
            batch_size=config.batch_size,
            seed=config.seed,
            flip=config.flip,
            chosen=hold_out(len(packed), config.held_out, config.seed)[0],
        )
        self.config, self.shape = config, (packed.channels, packed.size, packed.size)

    def other_inputs(self, step: int, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        config = self.config
        return sample_corruption(
            config.corruption,
            config.noise_levels,
            self.shape,
            config.seed,
            step,
            range(config.batch_size),
        )

    def make_inputs(self, real: Tensor, *others: Tensor) -> DenoisingBatch:
        return DenoisingBatch(real, corrupt(real, *others))
