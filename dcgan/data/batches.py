"""Packed folder to batches: what a step sees is a pure function of the seed and the step."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcgan import images, latents
from dcgan.config import TrainConfig

RESIDENT_SHARE = 0.25  # of an accelerator's free memory that the images may take


class Batch(NamedTuple):
    """What one step consumes: real [n, C, S, S] in [-1, 1] and z [n, latent_dim], on the device."""

    real: Tensor
    z: Tensor


class Order:
    """Positions in the data set of every step: each epoch is a permutation of its own.

    Epochs run on without a break inside a batch, so every batch is full.
    """

    def __init__(self, count: int, batch_size: int, seed: int):
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.epoch, self.permutation = -1, np.empty(0, np.int64)

    def __call__(self, step: int) -> np.ndarray:
        """Indices of the images of `step` (from 0) -> int64 [batch_size]."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, within = np.divmod(positions, self.count)
        indices = np.empty_like(positions)
        for epoch in range(epochs[0], epochs[-1] + 1):
            chosen = epochs == epoch
            indices[chosen] = self.shuffled(epoch)[within[chosen]]
        return indices

    def shuffled(self, epoch: int) -> np.ndarray:
        if epoch != self.epoch:
            rng = np.random.default_rng([self.seed, Purpose.ORDER, epoch])
            self.epoch, self.permutation = epoch, rng.permutation(self.count)
        return self.permutation


class Purpose:
    """Separates the random streams that share a seed."""

    ORDER, FLIPS, LATENTS = range(3)


class Batches:
    """Batches of a packed array, drawn one ahead in the background.

    `array` is uint8 [N, S, S, C]. The images move to an accelerator at once where they fit there.
    Of every global batch this process draws the slice of its `rank`; the batch itself does not
    depend on how many processes share it.
    """

    def __init__(
        self,
        array: np.ndarray,
        config: TrainConfig,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.config, self.device = config, device
        share = config.batch_size // world_size
        self.slice = slice(rank * share, (rank + 1) * share)
        self.order = Order(len(array), config.batch_size, config.seed)
        self.images = torch.tensor(array).to(device) if fits(array, device) else array

    def starting_at(self, step: int) -> Iterator[Batch]:
        """Batches of `step`, `step` + 1, ..., without end."""
        with ThreadPoolExecutor(1, "batches") as background:
            ahead = background.submit(self.at, step)
            while True:
                batch = ahead.result()
                step += 1
                ahead = background.submit(self.at, step)
                yield batch

    def at(self, step: int) -> Batch:
        """The batch of one step."""
        config = self.config
        indices = self.order(step)[self.slice]
        z = latents.draw(
            np.random.default_rng([config.seed, Purpose.LATENTS, step]),
            (config.batch_size, config.latent_dim),
            config.latent,
        )[self.slice]
        if isinstance(self.images, Tensor):
            real = self.images[self.send(indices)]
        else:
            real = self.send(self.images[indices])
        real = images.to_float(real)
        if config.flip:
            rng = np.random.default_rng([config.seed, Purpose.FLIPS, step])
            mirrored = rng.random(config.batch_size)[self.slice] < 0.5
            real = torch.where(self.send(mirrored)[:, None, None, None], real.flip(3), real)
        return Batch(real, self.send(z))

    def send(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)


def fits(array: np.ndarray, device: torch.device) -> bool:
    """Whether the whole array may live on the device. The CPU reads it where it is mapped."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return array.nbytes < RESIDENT_SHARE * free
