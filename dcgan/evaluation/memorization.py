"""Whether G has memorised training images: the data-copying test of Meehan et al. 2020.

Every image has a nearest training image. A G that copies makes images that are closer to theirs
than held-out images, which were not trained on, are to theirs. The test is the three-sample test of
"A Non-Parametric Test to Detect Data-Copying in Generative Models", over the whole space at once
rather than in cells of it.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan.evaluation.pairwise import squared_distances
from dcgan.evaluation.random_features import FeatureExtractor, extract_features

NEIGHBOURS = 3  # training images found for each sample
_MAX_SIDE = 64  # pixels: larger images are compared at this size
_CLOSE_QUANTILE = 0.01  # of the held-out distances: samples below it count as copies


class CopyingTest(NamedTuple):
    """How much closer samples are to training images than held-out images are."""

    score: float
    """Share of pairs (sample, held-out image) in which the sample is closer to its nearest training
    image; 0.5 is expected of a G that does not copy, 1 means that every sample is closer."""
    z: float
    """The score as the z statistic of Mann and Whitney's U: above 3 it is no coincidence."""
    copies: float
    """Share of samples that are closer than 99 % of the held-out images."""


def copying_test(sample_distances: Tensor, held_out_distances: Tensor) -> CopyingTest:
    """Compare distances to the nearest training image, [N] and [M]. Ties count one half.

    Bad samples are far from all training images: they lower the score and so hide copies among the
    samples, but do not lower `copies`.
    """
    samples, held_out = sample_distances.cpu().contiguous(), held_out_distances.cpu().contiguous()
    n, m = len(samples), len(held_out)
    ordered = held_out.sort().values
    below, up_to = (torch.searchsorted(ordered, samples, right=right) for right in (False, True))
    score = 1 - float((below + up_to).double().mean()) / 2 / m
    z = (score - 0.5) / math.sqrt((n + m + 1) / (12 * n * m))
    distinct = ordered[ordered > 0].double()  # the others are training images themselves
    close = distinct.quantile(_CLOSE_QUANTILE) if len(distinct) else ordered.new_zeros(())
    return CopyingTest(score, z, float((samples < close).double().mean()))


def pixel_features(images: Tensor) -> Tensor:
    """Pixels as features, uint8 [n, C, S, S] -> [n, F] in [-1, 1]; large images shrunk to 64x64."""
    images = images.float().div(127.5).sub(1)
    if images.shape[-1] > _MAX_SIDE:
        images = F.adaptive_avg_pool2d(images, _MAX_SIDE)
    return images.flatten(1)


def _nearest_rows(queries: Tensor, chunks: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Distances and indices of the 3 rows nearest to each query [Q, F], nearest first: [Q, 3] each.

    The rows [n, F] come in chunks, so their number is not limited by memory.
    """
    best = torch.full((len(queries), NEIGHBOURS), torch.inf, device=queries.device)
    indices = torch.zeros_like(best, dtype=torch.int64)
    start = 0
    for rows in chunks:
        numbers = torch.arange(start, start + len(rows), device=queries.device)
        start += len(rows)
        squares = torch.cat([best, squared_distances(queries, rows)], 1)
        candidates = torch.cat([indices, numbers.expand(len(queries), -1)], 1)
        best, places = squares.topk(NEIGHBOURS, largest=False)
        indices = candidates.gather(1, places)
    return best.sqrt(), indices


@torch.inference_mode()
def find_copies(
    samples: np.ndarray,
    held_out: np.ndarray,
    read_training: Callable[[], Iterator[np.ndarray]],
    extractor: FeatureExtractor,
    device: torch.device,
) -> tuple[CopyingTest, Tensor, Tensor]:
    """The copying test; distances and indices [N, 3] of the training images nearest to samples.

    Images are uint8 [N, S, S, C]; `read_training` yields chunks of the training images. Distances
    are Euclidean distances of the extractor's features.
    """
    queries = torch.cat(list(extract_features(extractor, [samples, held_out], device)))
    distances, indices = _nearest_rows(
        queries, extract_features(extractor, read_training(), device)
    )
    count = len(samples)
    test = copying_test(distances[:count, 0], distances[count:, 0])
    return test, distances[:count], indices[:count]
