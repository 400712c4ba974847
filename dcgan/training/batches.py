"""The inputs of a training step, as a pure function of the seed and the step."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcgan.config import TrainConfig
from dcgan.latent import sample_noise
from dcgan.training.augmentation import NOISE_DIM
from dcgan.training.image_loader import ImageLoader

# Numbers of random streams beside those of the images, see `image_loader`.
_LATENTS, _AUGMENTATION, _ALPHA = 2, 3, 4


class Batch(NamedTuple):
    """The inputs of one training step, on the device."""

    real: Tensor  # [n, C, S, S] in [-1, 1]
    labels: Tensor  # [n, num_labels] of 0 and 1, those of `real`; num_labels is 0 if unconditional
    z: Tensor  # [n, latent_dim + num_labels]: noise, and the same labels
    augmentation_noise: Tensor  # [n, 3, NOISE_DIM] of U(0, 1): of real and fake for D, fake for G
    alpha: Tensor  # [n] of U(0, 1): interpolates real and fake images for the gradient penalty

    def parts(self, number: int) -> Iterator["Batch"]:
        """The micro-batches of this batch, `number` of the same size."""
        return map(Batch._make, zip(*(tensor.chunk(number) for tensor in self), strict=True))


def no_labels(indices: np.ndarray) -> np.ndarray:
    """The labels of images for an unconditional GAN: float32 [n, 0]."""
    return np.empty((len(indices), 0), np.float32)


class BatchLoader(ImageLoader[Batch]):
    """Loads the batch of any step from a packed array, uint8 [N, S, S, C], see `ImageLoader`.

    The batch of a step is a pure function of the seed and the step, however many processes share
    it. `labels` maps image indices [n] to labels, float32 [n, num_labels].
    """

    def __init__(
        self,
        array: np.ndarray,
        config: TrainConfig,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        labels: Callable[[np.ndarray], np.ndarray] = no_labels,
        chosen: np.ndarray | None = None,
    ):
        super().__init__(
            array,
            device,
            batch_size=config.batch_size,
            seed=config.seed,
            flip=config.flip,
            rank=rank,
            world_size=world_size,
            chosen=chosen,
        )
        self.config, self.labels = config, labels

    def other_inputs(self, step: int, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        config = self.config
        shape = (config.batch_size, config.latent_dim)
        z = sample_noise(self.random(_LATENTS, step), shape, config.latent)[self.slice]
        labels = self.labels(indices)
        noise_shape = (config.batch_size, 3, NOISE_DIM if config.augment else 0)
        return (
            labels,
            np.concatenate([z, labels], 1),
            self.random(_AUGMENTATION, step).random(noise_shape, dtype=np.float32)[self.slice],
            self.random(_ALPHA, step).random(config.batch_size, dtype=np.float32)[self.slice],
        )

    def make_inputs(self, real: Tensor, *others: Tensor) -> Batch:
        return Batch(real, *others)
