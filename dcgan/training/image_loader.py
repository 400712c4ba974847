"""Packed images of any training step, loaded one batch ahead in the background."""

import copy
import itertools
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, NamedTuple, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from dcgan import images
from dcgan.data import row_reader
from dcgan.errors import UserError
from dcgan.runtime.device import thread_initializer
from dcgan.training.shuffle import EpochShuffle

Inputs = TypeVar("Inputs")

ORDER, FLIPS = 0, 1  # numbers of the random streams; other streams of the same seed have others
_RESIDENT_SHARE = 0.25  # of a CUDA device's free memory, at most, for the images
_COPY_BLOCK = 4096  # images
_REQUESTED_AHEAD = 2  # batches: a slow disk has the time of so many steps to read their rows


class _HostInputs(NamedTuple):
    """The inputs of a step in host memory; where the images are on the device, their indices."""

    images: Tensor  # uint8 [n, S, S, C], or int64 [n]
    mirrored: Tensor  # bool [n, 1, 1, 1]
    others: tuple[Tensor, ...]


class ImageLoader(ABC, Generic[Inputs]):
    """Loads the inputs of any step from a packed array, one step ahead in the background.

    `array` is uint8 [N, S, S, C]; of it the images `chosen`, indices [M], are shown, or all. It is
    copied to a CUDA device where it fits there. The images of a step are a pure function of the
    seed and the step, however many processes share them: this process loads the slice of its
    `rank`. A subclass says what else a step takes.
    """

    def __init__(
        self,
        array: np.ndarray,
        device: torch.device,
        *,
        batch_size: int,
        seed: int,
        flip: bool,
        rank: int = 0,
        world_size: int = 1,
        chosen: np.ndarray | None = None,
    ):
        self.rows, self.device, self.chosen = row_reader(array), device, chosen
        self.batch_size, self.seed, self.flip = batch_size, seed, flip
        share = batch_size // world_size
        self.slice = slice(rank * share, (rank + 1) * share)
        count = len(array) if chosen is None else len(chosen)
        self.shuffle = EpochShuffle(count, batch_size, seed, ORDER)
        self.resident = _copy_to(device, array) if _fits(device, array) else None

    @abstractmethod
    def other_inputs(self, step: int, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """What a step takes beside its images, which have these indices; called in any thread."""

    @abstractmethod
    def make_inputs(self, real: Tensor, *others: Tensor) -> Inputs:
        """The inputs from images [n, C, S, S] in [-1, 1] and from `other_inputs`, on the device."""

    def starting_at(self, step: int) -> Iterator[Inputs]:
        """Yield the inputs of `step`, `step` + 1, ..., without end."""
        initializer = thread_initializer(self.device)
        with ThreadPoolExecutor(1, "batches", initializer) as background:
            loaded = self._load_in_order(step)
            ahead = background.submit(next, loaded)
            while True:
                # Moved before the next is loaded: the two would compete for the interpreter.
                batch = self._to_device(ahead.result())
                ahead = background.submit(next, loaded)
                yield batch

    def at(self, step: int) -> Inputs:
        """The inputs of one step."""
        return self._to_device(self._load(step, self._indices(step)))

    def of_images(self, chosen: np.ndarray) -> Self:
        """A loader like this one of other images of the same array, indices [M]."""
        loader = copy.copy(self)
        loader.chosen = chosen
        loader.shuffle = EpochShuffle(len(chosen), self.batch_size, self.seed, ORDER)
        return loader

    def random(self, stream: int, step: int) -> np.random.Generator:
        """The random numbers of a stream in a step."""
        return np.random.default_rng([self.seed, stream, step])

    def mirrored(self, step: int) -> np.ndarray:
        """Which images of this process are mirrored in a step: bool [n]."""
        return (self.random(FLIPS, step).random(self.batch_size) < 0.5)[self.slice] & self.flip

    def _load_in_order(self, step: int) -> Iterator[_HostInputs]:
        """Load `step`, `step` + 1, ...; request the rows of later ones before."""
        requested: deque[np.ndarray] = deque()
        for last in itertools.count(step):
            requested.append(self._indices(last))
            if self.resident is None:
                self.rows.prefetch(requested[-1])
            if len(requested) > _REQUESTED_AHEAD:
                yield self._load(last - _REQUESTED_AHEAD, requested.popleft())

    def _indices(self, step: int) -> np.ndarray:
        """The images of this process in a step."""
        places = self.shuffle(step)[self.slice]
        return places if self.chosen is None else self.chosen[places]

    def _load(self, step: int, indices: np.ndarray) -> _HostInputs:
        """Load the images and the other inputs of a step, in any thread."""
        return _HostInputs(
            self._pinned(self.rows(indices) if self.resident is None else indices),
            self._pinned(self.mirrored(step)[:, None, None, None]),
            tuple(map(self._pinned, self.other_inputs(step, indices))),
        )

    def _to_device(self, host: _HostInputs) -> Inputs:
        """Copy to the device, normalise and mirror images there, without waiting for it."""
        # Only copies from pinned memory may be non-blocking.
        images_or_indices, mirrored, *others = (
            tensor.to(self.device, non_blocking=tensor.is_pinned())
            for tensor in (host.images, host.mirrored, *host.others)
        )
        shown = images_or_indices if self.resident is None else self.resident[images_or_indices]
        shown = torch.where(mirrored, shown.flip(2), shown)  # at one byte a value
        return self.make_inputs(images.to_float(shown), *others)

    def _pinned(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory() if self.device.type == "cuda" else tensor


@contextmanager
def save_before_errors(save: Callable[[], object]) -> Iterator[None]:
    """Where images cannot be read in the block, save the steps done before the error is raised."""
    try:
        yield
    except UserError:
        save()
        raise


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
