"""The order in which training shows the images."""

from functools import lru_cache

import numpy as np


class EpochShuffle:
    """Image indices of every step; each epoch is a permutation of its own.

    A permutation is a pure function of (seed, stream, epoch). That of the current epoch is kept in
    memory, 8 bytes an image. Epochs follow each other without a gap, so that every batch is full.
    `stream` separates this use of the seed from others.
    """

    def __init__(self, count: int, batch_size: int, seed: int, stream: int = 0):
        self.count, self.batch_size, self.seed, self.stream = count, batch_size, seed, stream
        self._permutation = lru_cache(maxsize=1)(self._sample_permutation)

    def __call__(self, step: int) -> np.ndarray:
        """Indices of the images of a step, counted from 0: int64 [batch_size]."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, within = np.divmod(positions, self.count)
        parts = [
            self._permutation(epoch)[within[epochs == epoch]]
            for epoch in range(epochs[0], epochs[-1] + 1)
        ]
        return np.concatenate(parts)

    def _sample_permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, self.stream, epoch]).permutation(self.count)
