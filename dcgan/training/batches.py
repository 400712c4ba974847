"""The inputs of a training step, as a pure function of the seed and the step."""

import itertools
from collections import deque
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
from dcgan.runtime.device import thread_initializer
from dcgan.training.augmentation import NOISE_DIM
from dcgan.training.shuffle import EpochShuffle

_RESIDENT_SHARE = 0.25  # of a CUDA device's free memory, at most, for the images
_COPY_BLOCK = 4096  # images
_REQUESTED_AHEAD = 2  # batches: a slow disk has the time of so many steps to read their rows


class Batch(NamedTuple):
    """The inputs of one training step, on the device."""

    real: Tensor  # [n, C, S, S] in [-1, 1]
    labels: Tensor  # [n, num_labels] of 0 and 1, those of `real`; num_labels is 0 if unconditional
    z: Tensor  # [n, latent_dim + num_labels]: noise, and the same labels
    augmentation_noise: Tensor  # [n, 3, NOISE_DIM] of U(0, 1): of real and fake for D, fake for G
    alpha: Tensor  # [n] of U(0, 1): interpolates real and fake images for the gradient penalty


class _HostBatch(NamedTuple):
    """A batch in host memory; where the images are on the device, it has their indices."""

    images: Tensor  # uint8 [n, S, S, C], or int64 [n]
    mirrored: Tensor  # bool [n, 1, 1, 1]
    labels: Tensor
    z: Tensor
    augmentation_noise: Tensor
    alpha: Tensor


class _Stream:
    """Numbers of the independent random streams that share a seed."""

    ORDER, FLIPS, LATENTS, AUGMENTATION, ALPHA = range(5)


def no_labels(indices: np.ndarray) -> np.ndarray:
    """The labels of images for an unconditional GAN: float32 [n, 0]."""
    return np.empty((len(indices), 0), np.float32)


class BatchLoader:
    """Loads the batch of any step from a packed array, one batch ahead in the background.

    `array` is uint8 [N, S, S, C]. It is copied to a CUDA device where it fits there. The batch of a
    step is a pure function of the seed and the step, however many processes share it: this process
    loads the slice of its `rank`. `labels` maps image indices [n] to labels, float32
    [n, num_labels].
    """

    def __init__(
        self,
        array: np.ndarray,
        config: TrainConfig,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        labels: Callable[[np.ndarray], np.ndarray] = no_labels,
    ):
        self.labels = labels
        self.rows, self.config, self.device = row_reader(array), config, device
        share = config.batch_size // world_size
        self.slice = slice(rank * share, (rank + 1) * share)
        self.shuffle = EpochShuffle(len(array), config.batch_size, config.seed, _Stream.ORDER)
        self.resident = _copy_to(device, array) if _fits(device, array) else None

    def starting_at(self, step: int) -> Iterator[Batch]:
        """Yield the batches of `step`, `step` + 1, ..., without end."""
        initializer = thread_initializer(self.device)
        with ThreadPoolExecutor(1, "batches", initializer) as background:
            loaded = self._load_in_order(step)
            ahead = background.submit(next, loaded)
            while True:
                # Moved before the next is loaded: the two would compete for the interpreter.
                batch = self._to_device(ahead.result())
                ahead = background.submit(next, loaded)
                yield batch

    def at(self, step: int) -> Batch:
        """The batch of one step."""
        return self._to_device(self._load(step, self._indices(step)))

    def _load_in_order(self, step: int) -> Iterator[_HostBatch]:
        """Load the batches of `step`, `step` + 1, ...; request the rows of later ones before."""
        requested: deque[np.ndarray] = deque()
        for last in itertools.count(step):
            requested.append(self._indices(last))
            if self.resident is None:
                self.rows.prefetch(requested[-1])
            if len(requested) > _REQUESTED_AHEAD:
                yield self._load(last - _REQUESTED_AHEAD, requested.popleft())

    def _indices(self, step: int) -> np.ndarray:
        """The images of this process in a step."""
        return self.shuffle(step)[self.slice]

    def _load(self, step: int, indices: np.ndarray) -> _HostBatch:
        """Load the images and sample the noise of a step, in any thread."""
        config = self.config
        mirrored = self._rng(_Stream.FLIPS, step).random((config.batch_size, 1, 1, 1)) < 0.5
        shape = (config.batch_size, config.latent_dim)
        z = sample_noise(self._rng(_Stream.LATENTS, step), shape, config.latent)[self.slice]
        labels = self.labels(indices)
        noise_shape = (config.batch_size, 3, NOISE_DIM if config.augment else 0)
        arrays = (
            self.rows(indices) if self.resident is None else indices,
            mirrored[self.slice] & config.flip,
            labels,
            np.concatenate([z, labels], 1),
            self._rng(_Stream.AUGMENTATION, step).random(noise_shape, dtype=np.float32)[self.slice],
            self._rng(_Stream.ALPHA, step).random(len(mirrored), dtype=np.float32)[self.slice],
        )
        return _HostBatch(*map(self._pinned, arrays))

    def _to_device(self, host: _HostBatch) -> Batch:
        """Copy a batch to the device, normalise and mirror it there, without waiting for it."""
        # Only copies from pinned memory may be non-blocking.
        images_or_indices, mirrored, *rest = (
            tensor.to(self.device, non_blocking=tensor.is_pinned()) for tensor in host
        )
        chosen = images_or_indices if self.resident is None else self.resident[images_or_indices]
        chosen = torch.where(mirrored, chosen.flip(2), chosen)  # at one byte a value
        return Batch(images.to_float(chosen), *rest)

    def _rng(self, stream: int, step: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, stream, step])

    def _pinned(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory() if self.device.type == "cuda" else tensor


def _fits(device: torch.device, array: np.ndarray) -> bool:
    """Whether a CUDA device has room for the array; other devices share the host's memory."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return array.nbytes < _RESIDENT_SHARE * free


def _copy_to(device: torch.device, array: np.ndarray) -> Tensor:
    """Copy the array to the device in blocks, since it may exceed the host's memory."""
    read = row_reader(array)
    resident = torch.empty(array.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(array), _COPY_BLOCK):
        block = read(np.arange(start, min(start + _COPY_BLOCK, len(array))))
        resident[start : start + len(block)] = torch.from_numpy(block)
    return resident
