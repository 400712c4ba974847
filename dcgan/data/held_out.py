"""Which images of a packed folder are held out from a training."""

import numpy as np

MAX_HELD_OUT = 1000  # images: more would not make the means of D's logits more exact
MIN_HELD_OUT = 100  # fewer are too different from the others by chance
_STREAM = 5  # of random numbers, beside those of the batches of a training


def hold_out(count: int, held_out: int, seed: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the images to train on, and of the `held_out` others of `count`, both ascending.

    They are chosen by the seed; `stream` separates this use of it from others.
    """
    order = np.random.default_rng([seed, stream]).permutation(count)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def count_held_out(images: int, share: float) -> int:
    """How many of so many images are held out from the training of a GAN for a `share`.

    At most MAX_HELD_OUT, and none where they would be fewer than MIN_HELD_OUT.
    """
    held_out = min(int(share * images), MAX_HELD_OUT)
    return held_out if held_out >= MIN_HELD_OUT else 0


def split_images(count: int, share: float, seed: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Sorted indices of the images to train on (None: all), and of those that are held out.

    `count_held_out` of `count` images are held out, random ones: a pure function of the arguments.
    """
    held_out = count_held_out(count, share)
    if held_out == 0:
        return None, np.empty(0, np.int64)
    return hold_out(count, held_out, seed, _STREAM)
