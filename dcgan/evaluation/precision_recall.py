"""Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

All four ask which images lie in which nearest-neighbour balls around the features of others.
"""

import torch
from torch import Tensor

from dcgan.evaluation.pairwise import check_features, row_blocks, squared_distances, to_float64


class Manifold:
    """Balls around features [N, F]; each reaches to its centre's k-th nearest neighbour among them.

    Their union estimates the manifold of the images (Kynkäänniemi et al. 2019, equation 1).
    """

    def __init__(self, features: Tensor, k: int):
        """Raises ValueError unless there are more than k features."""
        check_features(features, k + 1)
        self.centres, self.k = to_float64(features), k
        # k + 1: the nearest row to a feature is the feature itself.
        nearest = (
            squared_distances(rows, self.centres).kthvalue(k + 1).values
            for rows in row_blocks(self.centres, len(features))
        )
        self.squared_radii = torch.cat(list(nearest))  # [N]

    def count_hits(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """For points [M, F]: how many balls hold each point [M], and points in each ball [N]."""
        points = to_float64(points)
        balls_per_point, points_per_ball = [], torch.zeros_like(self.squared_radii)
        for rows in row_blocks(points, len(self.centres)):
            inside = squared_distances(rows, self.centres) <= self.squared_radii
            balls_per_point.append(inside.sum(1))
            points_per_ball += inside.sum(0)
        return torch.cat(balls_per_point), points_per_ball


def precision_and_recall(real: Manifold, fake: Manifold) -> tuple[float, float]:
    """Improved precision and recall, both in [0, 1] (Kynkäänniemi et al. 2019, equation 2; k = 3).

    Precision is the share of fake images inside the real manifold: how realistic they are. Recall
    is the share of real images inside the fake manifold: how much of their variety is covered.
    """
    realistic, _ = real.count_hits(fake.centres)
    covered, _ = fake.count_hits(real.centres)
    return _share_hit(realistic), _share_hit(covered)


def density_and_coverage(real: Manifold, fake: Tensor) -> tuple[float, float]:
    """Density and coverage of fake features [M, F] (Naeem et al. 2020, equations 5 and 6; k = 5).

    Density is the mean number of real balls that hold a fake image, divided by k: about 1 where
    both sets have the same distribution, and not bounded by 1. Coverage is the share of real balls
    that hold a fake image, in [0, 1]. There are no balls around fake images, so outliers among them
    do not raise either number.
    """
    balls_per_point, points_per_ball = real.count_hits(fake)
    held = int(balls_per_point.sum())
    return held / len(balls_per_point) / real.k, _share_hit(points_per_ball)


def _share_hit(counts: Tensor) -> float:
    return int((counts > 0).sum()) / len(counts)
