"""Packed folder to batches: what a step sees is a pure function of the seed and the step."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcgan import images
from dcgan.config import TrainConfig
from dcgan.data import row_reader
from dcgan.latent import sample_noise
from dcgan.training.augmentation import NOISE_DIM
from dcgan.training.shuffle import EpochShuffle

RESIDENT_SHARE = 0.25  # of a CUDA device's free memory that the images may take
COPIED_AT_A_TIME = 4096  # images


class Batch(NamedTuple):
    """What D, and then G, learn from, on the device."""

    real: Tensor  # [n, C, S, S] in [-1, 1]
    labels: Tensor  # [n, labels] of 0 and 1, those of `real`; no labels unless conditional
    z: Tensor  # [n, latent_dim + labels], the labels being the same
    draws: Tensor  # [n, 3, NOISE_DIM] of U(0, 1): augments real, then fake images for D, then for G
    mix: Tensor  # [n] of U(0, 1): where between them D is penalised


class Drawn(NamedTuple):
    """The same on the host; instead of resident images, their indices."""

    images: Tensor  # uint8 [n, S, S, C], or int64 [n]
    mirrored: Tensor  # bool [n, 1, 1, 1]
    labels: Tensor
    z: Tensor
    draws: Tensor
    mix: Tensor


class Purpose:
    """Separates the random streams that share a seed."""

    ORDER, FLIPS, LATENTS, AUGMENT, MIX = range(5)


def unlabelled(indices: np.ndarray) -> np.ndarray:
    """No labels, of every image."""
    return np.empty((len(indices), 0), np.float32)


class Batches:
    """Batches of a packed array, drawn one ahead in the background.

    `array` is uint8 [N, S, S, C]. It moves to a CUDA device at once where it fits there. Of every
    global batch this process draws the slice of its `rank`; the batch itself does not depend on
    how many processes share it. `labels` gives those of the images at some indices [n], float32
    [n, labels].
    """

    def __init__(
        self,
        array: np.ndarray,
        config: TrainConfig,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        labels: Callable[[np.ndarray], np.ndarray] = unlabelled,
    ):
        self.labels = labels
        self.rows, self.config, self.device = row_reader(array), config, device
        share = config.batch_size // world_size
        self.slice = slice(rank * share, (rank + 1) * share)
        self.shuffle = EpochShuffle(len(array), config.batch_size, config.seed, Purpose.ORDER)
        self.resident = copied(array, device) if fits(array, device) else None

    def starting_at(self, step: int) -> Iterator[Batch]:
        """Batches of `step`, `step` + 1, ..., without end."""
        with ThreadPoolExecutor(1, "batches") as background:
            ahead = background.submit(self.draw, step)
            while True:
                # Moved first: the two would only take the interpreter from each other.
                batch = self.moved(ahead.result())
                step += 1
                ahead = background.submit(self.draw, step)
                yield batch

    def at(self, step: int) -> Batch:
        """The batch of one step."""
        return self.moved(self.draw(step))

    def draw(self, step: int) -> Drawn:
        """The part of a batch that needs no device, so that any thread may do it."""
        config = self.config
        indices = self.shuffle(step)[self.slice]
        mirrored = self.rng(Purpose.FLIPS, step).random((config.batch_size, 1, 1, 1)) < 0.5
        shape = (config.batch_size, config.latent_dim)
        z = sample_noise(self.rng(Purpose.LATENTS, step), shape, config.latent)[self.slice]
        labels = self.labels(indices)
        draws = (config.batch_size, 3, NOISE_DIM if config.augment else 0)
        host = (
            self.rows(indices) if self.resident is None else indices,
            mirrored[self.slice] & config.flip,
            labels,
            np.concatenate([z, labels], 1),
            self.rng(Purpose.AUGMENT, step).random(draws, dtype=np.float32)[self.slice],
            self.rng(Purpose.MIX, step).random(len(mirrored), dtype=np.float32)[self.slice],
        )
        return Drawn(*map(self.pinned, host))

    def moved(self, drawn: Drawn) -> Batch:
        """A batch on the device, normalised and mirrored there, without waiting for it."""
        # Only pinned memory may be left behind while it is still being copied.
        images_or_indices, mirrored, *rest = (
            tensor.to(self.device, non_blocking=tensor.is_pinned()) for tensor in drawn
        )
        chosen = images_or_indices if self.resident is None else self.resident[images_or_indices]
        chosen = torch.where(mirrored, chosen.flip(2), chosen)  # while a value is one byte
        return Batch(images.to_float(chosen), *rest)

    def rng(self, purpose: int, step: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, purpose, step])

    def pinned(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory() if self.device.type == "cuda" else tensor


def fits(array: np.ndarray, device: torch.device) -> bool:
    """Whether the array may live on the device. Only CUDA has memory apart from the host's."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return array.nbytes < RESIDENT_SHARE * free


def copied(array: np.ndarray, device: torch.device) -> Tensor:
    """The array on the device, copied a block at a time, since it may exceed the host's memory."""
    read = row_reader(array)
    resident = torch.empty(array.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(array), COPIED_AT_A_TIME):
        block = read(np.arange(start, min(start + COPIED_AT_A_TIME, len(array))))
        resident[start : start + len(block)] = torch.from_numpy(block)
    return resident
