"""The images that are held out of a training."""

import numpy as np

from dcgan import data

_STREAM = 6  # number of a random stream, see `training.image_loader`
_MAX_SHARE = 0.2


def hold_out(count: int, held_out: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the images to train on and of those held out, both ascending.

    `held_out` of `count` images, a fifth at most, are chosen by the seed.
    """
    return data.hold_out(count, min(held_out, int(count * _MAX_SHARE)), seed, _STREAM)
