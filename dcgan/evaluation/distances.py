"""How far two sets of images are apart, from the features of either: real, fake [N, F] -> numbers.

Everything is computed in float64 (float32 where a device has no more), on the device of the
features, a block of rows at a time: memory grows with N, not with its square.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 2**24  # numbers of a matrix of all pairs that are held at a time


class Gaussian(NamedTuple):
    """Mean [F] and unbiased covariance [F, F] of features."""

    mean: Tensor
    covariance: Tensor


def gaussian(features: Tensor) -> Gaussian:
    """Fit a Gaussian to features [N, F]. ValueError for fewer than two."""
    check_features(features, 2)
    x = wide(features)
    mean = x.mean(0)
    centred = x - mean
    return Gaussian(mean, centred.T @ centred / (len(x) - 1))


def frechet(real: Gaussian, fake: Gaussian) -> float:
    """Squared Fréchet distance of Gaussians, the FID on Inception's features (Heusel et al. 2017):

    |m_r - m_f|^2 + tr(C_r + C_f - 2 (C_r C_f)^(1/2))

    The trace of the root is that of a symmetric matrix, (A C_f A)^(1/2) with A = C_r^(1/2), so
    that no eigenvalue is complex, nor the result wrong where covariances are singular.
    """
    values, vectors = torch.linalg.eigh(real.covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = root @ fake.covariance @ root
    trace_of_root = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
    traces = real.covariance.trace() + fake.covariance.trace()
    return float((real.mean - fake.mean).square().sum() + traces - 2 * trace_of_root)


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (x.y / F + 1)^3, without bias.

    That of all pairs at once, where Bińkowski et al. 2018 (KID) average over small subsets: the
    expectation is the same and the variance lower. It may fall below 0 for sets of one law.
    """
    check_features(real, 2)
    check_features(fake, 2)
    real, fake = wide(real), wide(fake)
    across = sum(polynomial(rows, fake).sum() for rows in blocks(real, len(fake)))
    within = (among(real), among(fake))
    return float(sum(within) - 2 * across / (len(real) * len(fake)))


def among(x: Tensor) -> Tensor:
    """Mean of the kernel over all pairs of two different rows."""
    total = sum(polynomial(rows, x).sum() for rows in blocks(x, len(x)))
    itself = (x.square().sum(1) / x.shape[1] + 1) ** 3
    return (total - itself.sum()) / (len(x) * (len(x) - 1))


def polynomial(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


class Manifold:
    """The balls around features [N, F] that reach to their k-th nearest neighbour among them."""

    def __init__(self, features: Tensor, k: int):
        """ValueError unless there are more than k features."""
        check_features(features, k + 1)
        self.centres, self.k = wide(features), k
        # The nearest of all is the feature itself.
        nearest = (
            pairwise(rows, self.centres).kthvalue(k + 1).values
            for rows in blocks(self.centres, len(features))
        )
        self.radii = torch.cat(list(nearest))  # [N]

    def counts(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """How many balls hold each point [M, F] -> [M], and how many points each ball holds [N]."""
        points = wide(points)
        balls, held = [], torch.zeros_like(self.radii)
        for rows in blocks(points, len(self.centres)):
            inside = pairwise(rows, self.centres) <= self.radii
            balls.append(inside.sum(1))
            held += inside.sum(0)
        return torch.cat(balls), held


def precision_recall(real: Manifold, fake: Manifold) -> tuple[float, float]:
    """Kynkäänniemi et al. 2019, there with k = 3.

    precision: share of the fake images within the real manifold, how good they are; recall: share
    of the real images within the fake manifold, how much of the variety there is.
    """
    return share(real.counts(fake.centres)[0]), share(fake.counts(real.centres)[0])


def density_coverage(real: Manifold, fake: Tensor) -> tuple[float, float]:
    """Naeem et al. 2020, there with k = 5. Both look at the balls of the real images only.

    density: in how many of them a fake image is, over k: about 1 for the real law. coverage: share
    of them with a fake image inside. Outliers among the fake images enlarge no ball.
    """
    balls, held = real.counts(fake)
    return float(balls.double().mean()) / real.k, share(held)


def share(counts: Tensor) -> float:
    return float((counts > 0).double().mean())


def pairwise(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances of all rows, [n, F], [m, F] -> [n, m].

    Those that may be nothing but rounding are zero, as that of a row to its copy is.
    """
    squares = x.square().sum(1)[:, None] + y.square().sum(1)
    rounding = squares * (4 * x.shape[1] ** 0.5 * torch.finfo(x.dtype).eps)
    squares.addmm_(x, y.T, alpha=-2)
    return squares.masked_fill_(squares <= rounding, 0)


def blocks(x: Tensor, others: int) -> Iterator[Tensor]:
    """Rows of x, as many at a time as may be paired with so many others."""
    return iter(x.split(max(1, BLOCK // others)))


def wide(features: Tensor) -> Tensor:
    """Features in float64, but for the devices of Apple, which have none."""
    return features.to(torch.float32 if features.device.type == "mps" else torch.float64)


def check_features(features: Tensor, least: int) -> None:
    if features.dim() != 2 or len(features) < least:
        raise ValueError(f"features must be [N, F] with N >= {least}, not {list(features.shape)}")
