"""`dcgan neighbours`: has G learnt training images by heart?

Every image has a nearest training image. What tells is whether samples are nearer to theirs than
images are that the training has not seen: the three-sample test of Meehan, Chaudhuri and Dasgupta
2020 ("A Non-Parametric Test to Detect Data-Copying in Generative Models"), here over all of the
space at once rather than in cells of it.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan import images, sampling
from dcgan.config import MIN_IMAGES, NeighboursConfig
from dcgan.data import PackedImages, open_packed
from dcgan.errors import UsageError, UserError
from dcgan.evaluation.distances import pairwise
from dcgan.evaluation.random_features import RandomFeatures, to_rgb
from dcgan.evaluation.real_images import (
    check_same_shape,
    choose_images,
    match_label,
    read_images,
)
from dcgan.networks import Generator
from dcgan.runtime import device

APART = 10  # one image in so many is set apart where no held-out images are given
SHOWN, NEAREST = 12, 3  # samples in the picture, neighbours of each
FINEST = 64  # pixels: larger images are compared at this size
SURE = 3.0  # standard deviations

View = Callable[[Tensor], Tensor]  # uint8 [n, 3, S, S] -> [n, F], which Euclidean distances are in


class Leakage(NamedTuple):
    """How samples compare with held-out images in their distance to training images."""

    score: float  # share of pairs (sample, held-out image) where the sample is nearer; 1/2 is fair
    z: float  # Mann-Whitney's statistic of that in standard deviations: above 3 is no chance
    copies: float  # share of samples nearer than all but 1 % of the held-out images


def leakage(samples: Tensor, held_out: Tensor) -> Leakage:
    """Compare distances to the nearest training image, [N] and [M]. A tie counts one half.

    Samples that are far from everything, as bad ones are, lower the score and hide copies among
    them; `copies` still finds these.
    """
    samples, held_out = samples.contiguous(), held_out.contiguous()
    n, m = len(samples), len(held_out)
    ordered = held_out.sort().values
    below, up_to = (torch.searchsorted(ordered, samples, right=right) for right in (False, True))
    score = 1 - float((below + up_to).double().mean()) / 2 / m
    z = (score - 0.5) / math.sqrt((n + m + 1) / (12 * n * m))
    apart = ordered[ordered > 0].double()  # the others are training images themselves
    near = apart.quantile(0.01) if len(apart) else ordered.new_zeros(())
    return Leakage(score, z, float((samples < near).double().mean()))


def pixels(batch: Tensor) -> Tensor:
    """Values in [-1, 1] of all pixels, at 64x64 at most."""
    batch = batch.float().div(127.5).sub(1)
    return (F.adaptive_avg_pool2d(batch, FINEST) if batch.shape[-1] > FINEST else batch).flatten(1)


def nearest(queries: Tensor, chunks: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Distances and numbers of the 3 rows nearest to queries [Q, F], nearest first: [Q, 3] each.

    The rows [n, F] come in chunks, so that any number of them can be looked through.
    """
    best = torch.full((len(queries), NEAREST), torch.inf, device=queries.device)
    which = torch.zeros_like(best, dtype=torch.int64)
    start = 0
    for rows in chunks:
        numbers = torch.arange(start, start + len(rows), device=queries.device)
        start += len(rows)
        apart = torch.cat([best, pairwise(queries, rows)], 1)
        candidates = torch.cat([which, numbers.expand(len(queries), -1)], 1)
        best, places = apart.topk(NEAREST, largest=False)
        which = candidates.gather(1, places)
    return best.sqrt(), which


@torch.inference_mode()
def examine(
    samples: np.ndarray,
    held_out: np.ndarray,
    training: Callable[[], Iterator[np.ndarray]],
    view: View,
    on: torch.device,
) -> tuple[Leakage, Tensor, Tensor]:
    """Leakage, distances and numbers [N, 3] of the training images nearest to samples.

    Images are uint8 [N, S, S, C]; `training` starts anew on chunks of them at every call.
    """

    def seen(chunk: np.ndarray) -> Tensor:
        return view(to_rgb(torch.from_numpy(chunk).to(on)))

    def queries(array: np.ndarray) -> Tensor:
        return torch.cat([seen(array[i : i + 64]) for i in range(0, len(array), 64)])

    both = torch.cat([queries(samples), queries(held_out)])
    apart, which = nearest(both, map(seen, training()))
    count = len(samples)
    return leakage(apart[:count, 0], apart[count:, 0]), apart[:count], which[:count]


def split(
    packed: PackedImages, config: NeighboursConfig, G: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of training images, and held-out images uint8 [M, S, S, C]: those that have the
    label of the samples, if that is given. UserError for too few, and for those unlike G's.
    """

    def order_of(images: PackedImages, count: int | None) -> np.ndarray:
        check_same_shape(G, images)
        chosen = match_label(images, G, config.label)
        if config.label and not images.label_names:
            raise UsageError(f"--label {config.label}: the images of {images.folder} have none")
        return choose_images(images, count, chosen)

    order = order_of(packed, None)
    if config.held_out is None:
        apart = min(len(order) // APART, config.count)
        training, indices, source = order[apart:], order[:apart], packed
    else:
        source = open_packed(config.held_out)
        if source.fingerprint == packed.fingerprint:
            raise UsageError(f"--held-out {source.folder} holds the images of --data")
        training, indices = order, order_of(source, config.count)
    if len(indices) < MIN_IMAGES:
        raise UserError(f"{packed.folder} is too small to set images apart: give --held-out")
    return training, np.concatenate(list(read_images(source, indices)))


def report_memorization(config: NeighboursConfig) -> Path:
    """Print the leakage by pixels and by features, and write the picture. Returns its path.

    Raises UserError for files that are missing or do not fit each other.
    """
    device.reuse_freed_memory()
    on = device.select_device(config.device)
    G = sampling.load(config.checkpoint, raw=config.raw, recalibrate=config.recalibrate, device=on)
    packed = open_packed(config.data)
    training, held_out = split(packed, config, G)
    drawn = sampling.sample(
        G, range(config.count), config.truncation, config.precision, config.label
    )
    samples = np.concatenate(list(drawn))
    views: dict[str, View] = {"pixels": pixels, "features": RandomFeatures().to(on)}
    ranks, numbers = [], []
    for name, view in views.items():
        found, apart, which = examine(
            samples, held_out, lambda: read_images(packed, training), view, on
        )
        print(f"{name}: {sentence(found)}")
        ranks.append(apart[:, 0].argsort().argsort())
        numbers.append(training[which.cpu().numpy()])
    print(f"{len(samples)} samples, {len(held_out)} held-out and {len(training)} training images")
    shown = torch.stack(ranks).amin(0).argsort()[:SHOWN].cpu().numpy()
    images.save_png(config.out, picture(samples, packed, shown, numbers))
    return config.out


def sentence(found: Leakage) -> str:
    copied = found.z > SURE
    verdict = "nearer to training images than new images are" if copied else "no sign of copying"
    return (
        f"{verdict} (leakage {found.score:.3f}, 0.5 is fair; z {found.z:.1f}; "
        f"{found.copies:.1%} nearer than all but 1% of the held-out images)"
    )


def picture(
    samples: np.ndarray, packed: PackedImages, shown: np.ndarray, numbers: list[np.ndarray]
) -> np.ndarray:
    """A row for each sample that is shown: itself, its neighbours by pixels, those by features."""
    rows = []
    for i in shown:
        places = np.concatenate([which[i] for which in numbers])
        rows += [samples[i : i + 1], *read_images(packed, places)]
    return images.make_grid(np.concatenate(rows), columns=1 + NEAREST * len(numbers))
