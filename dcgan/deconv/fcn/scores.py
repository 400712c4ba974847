"""The four scores of Long, Shelhamer and Darrell (2015), section 5, from one confusion matrix.

With n_ij the number of pixels of class i that are predicted as class j, and t_i the sum of n_ij
over j: pixel accuracy, sum_i n_ii / sum_i t_i; mean accuracy, the mean of n_ii / t_i; mean IU, the
mean of n_ii / (t_i + sum_j n_ji - n_ii); frequency-weighted IU, the mean of IU weighted by t_i. As
in the authors' score.py, a class that makes the fraction 0 / 0 is left out of a mean, and is not
counted as zero.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class SegmentationScores:
    """Scores in [0, 1]; nan where there is nothing to score."""

    pixel_accuracy: float
    mean_accuracy: float
    """Over the classes in the truth."""
    mean_iu: float
    """Over the classes in the truth or the prediction."""
    frequency_weighted_iu: float
    names: tuple[str, ...]  # of the classes
    shares: tuple[float, ...]  # of the pixels of the truth, for each class
    accuracy: tuple[float, ...]  # of each class; nan if it is not in the truth
    iu: tuple[float, ...]  # of each class; nan if it is neither in the truth nor predicted

    def lines(self) -> list[str]:
        """A table in per cent: a line for each class, and the four scores."""
        heads = ("class", "share %", "accuracy %", "IU %")
        rows = [
            (name, *map(_percent, numbers))
            for name, *numbers in zip(self.names, self.shares, self.accuracy, self.iu, strict=True)
        ]
        width = max(len(row[0]) for row in (heads, *rows))
        table = [
            f"{name:{width}}" + "".join(f"  {cell:>10}" for cell in cells)
            for name, *cells in (heads, *rows)
        ]
        return [
            *table,
            f"pixel accuracy {_percent(self.pixel_accuracy)} %, "
            f"mean accuracy {_percent(self.mean_accuracy)} %, "
            f"mean IU {_percent(self.mean_iu)} %, "
            f"frequency-weighted IU {_percent(self.frequency_weighted_iu)} %",
        ]


class ConfusionMatrix:
    """Counts of pixels by their class and the class predicted, summed over batches on a device."""

    def __init__(self, names: Sequence[str], device: torch.device):
        self.names = tuple(names)
        size = len(self.names)
        self.counts = torch.zeros(
            size, size, dtype=torch.int64, device=device
        )  # [truth, predicted]

    def add(self, mask: Tensor, predicted: Tensor) -> None:
        """Count the pixels of two tensors of integers of one shape.

        mask: class numbers; others, such as IGNORED, are left out. predicted: class numbers.
        """
        size = len(self.names)
        counted = (mask >= 0) & (mask < size)
        # Pixels that are left out go to a bin of their own.
        bins = torch.where(counted, size * mask.long() + predicted, size * size)
        counts = torch.bincount(bins.flatten(), minlength=size * size + 1)
        self.counts += counts[:-1].view(size, size)

    def scores(self) -> SegmentationScores:
        """The scores of what has been counted."""
        return score_counts(self.counts.cpu().numpy(), self.names)


def score_counts(counts: np.ndarray, names: Sequence[str]) -> SegmentationScores:
    """The scores of a confusion matrix, int64 [K, K] of pixels of class i predicted as class j."""
    hits, truth = np.diag(counts).astype(float), counts.sum(1).astype(float)
    accuracy = _divide(hits, truth)
    iu = _divide(hits, truth + counts.sum(0) - hits)
    shares = _divide(truth, np.full_like(truth, truth.sum()))
    present = truth > 0
    return SegmentationScores(
        pixel_accuracy=float(_divide(hits.sum(), truth.sum())),
        mean_accuracy=_mean(accuracy),
        mean_iu=_mean(iu),
        frequency_weighted_iu=float((shares * iu)[present].sum()) if present.any() else math.nan,
        names=tuple(names),
        shares=tuple(shares.tolist()),
        accuracy=tuple(accuracy.tolist()),
        iu=tuple(iu.tolist()),
    )


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotients, nan where the denominator is 0."""
    with np.errstate(invalid="ignore"):
        return np.divide(numerator, denominator)


def _mean(values: np.ndarray) -> float:
    """The mean of those that are not nan; nan if there are none."""
    found = values[~np.isnan(values)]
    return float(found.mean()) if found.size else math.nan


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"
