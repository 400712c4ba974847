"""The batches of a denoising autoencoder, and the images that are held out of them."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcgan.config.denoising import DenoiseTrainConfig
from dcgan.data import PackedImages
from dcgan.deconv.autoencoder.corruption import corrupt, sample_corruption
from dcgan.training.image_loader import ImageLoader

_HELD_OUT_STREAM = 6  # number of a random stream, see `training.image_loader`
_MAX_HELD_OUT_SHARE = 0.2


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
            chosen=split_images(len(packed), config.held_out, config.seed)[0],
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


def split_images(count: int, held_out: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the images to train on and of those held out, both ascending.

    `held_out` of `count` images, a fifth at most, are chosen by the seed.
    """
    order = np.random.default_rng([seed, _HELD_OUT_STREAM]).permutation(count)
    kept = min(held_out, int(count * _MAX_HELD_OUT_SHARE))
    return np.sort(order[kept:]), np.sort(order[:kept])
