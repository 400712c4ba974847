"""Shuffled order of a data set of any size, in the memory of one batch."""

import numpy as np

ROUNDS = 12  # With 8, some orders of six images are seen twice as often as others.


class Order:
    """Positions in the data set of every step: each epoch is a permutation of its own.

    Epochs run on without a break inside a batch, so every batch is full. `stream` tells this use of
    the seed from others.
    """

    def __init__(self, count: int, batch_size: int, seed: int, stream: int = 0):
        self.count, self.batch_size, self.seed, self.stream = count, batch_size, seed, stream

    def __call__(self, step: int) -> np.ndarray:
        """Indices of the images of `step` (from 0) -> int64 [batch_size]."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, within = np.divmod(positions, self.count)
        # Few images: a batch of many epochs is shuffled at once all the same.
        keys = np.stack([self.keys(epoch) for epoch in range(epochs[0], epochs[-1] + 1)], axis=1)
        return permuted(within, self.count, keys[:, epochs - epochs[0]])

    def keys(self, epoch: int) -> np.ndarray:
        """What the permutation of an epoch follows from -> uint64 [ROUNDS]."""
        rng = np.random.default_rng([self.seed, self.stream, epoch])
        return rng.integers(2**64, size=ROUNDS, dtype=np.uint64)


def permuted(positions: np.ndarray, count: int, keys: np.ndarray) -> np.ndarray:
    """Where pseudo-random permutations of 0..count-1 take `positions`: int64 [n] -> int64 [n].

    `keys`, uint64 [rounds, n], say which permutation is whose.

    A Feistel network (Luby and Rackoff 1988) permutes the cells of a table of a x b >= count; a
    position that lands on a cell too many goes on from there (Black and Rogaway 2002, cycle
    walking).
    """
    a = int(np.ceil(np.sqrt(count)))
    b = -(-count // a)
    out = positions.astype(np.uint64)
    walking = np.arange(len(out))
    while len(walking):
        left, right = np.divmod(out[walking], np.uint64(b))
        for key_left, key_right in keys[:, walking].reshape(-1, 2, len(walking)):
            left = (left + mixed(right ^ key_left)) % np.uint64(a)
            right = (right + mixed(left ^ key_right)) % np.uint64(b)
        out[walking] = left * np.uint64(b) + right
        walking = walking[out[walking] >= count]
    return out.astype(np.int64)


def mixed(x: np.ndarray) -> np.ndarray:
    """The upper half of SplitMix64's finalizer: uint64 -> uint64 below 2^32."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x >> np.uint64(32)
