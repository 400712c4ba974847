"""Fréchet distance of Gaussians fitted to features: FID (Heusel et al. 2017) on any features."""

from typing import NamedTuple

import torch
from torch import Tensor

from dcgan.evaluation.pairwise import check_features, to_float64


class Gaussian(NamedTuple):
    """Mean [F] and unbiased covariance [F, F] of features."""

    mean: Tensor
    covariance: Tensor


class GaussianFit:
    """Fits a Gaussian to features that come in chunks, in float64, without keeping them.

    The sums are of distances from the mean, and those of two chunks are joined by Chan, Golub and
    LeVeque 1983, equation 1.5b, so that no digits are lost where the mean is far from zero.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean, self._scatter = torch.zeros(0), torch.zeros(0, 0)

    @torch.inference_mode()  # always: no other mode may change the sums of this one in place
    def add(self, features: Tensor) -> None:
        """Take in features [n, F]. Raises ValueError for other shapes."""
        check_features(features, 1)
        x = to_float64(features)
        mean = x.mean(0)
        centred = x - mean
        scatter = centred.T @ centred
        if self.count == 0:
            self.count, self._mean, self._scatter = len(x), mean, scatter
            return
        total = self.count + len(x)
        shift = mean - self._mean
        self._scatter += scatter
        self._scatter.addr_(shift, shift, alpha=self.count * len(x) / total)
        self._mean += shift * (len(x) / total)
        self.count = total

    def gaussian(self) -> Gaussian:
        """The Gaussian of all features so far. Raises ValueError for fewer than two."""
        if self.count < 2:
            raise ValueError(f"a Gaussian is fitted to 2 features or more, not to {self.count}")
        return Gaussian(self._mean.clone(), self._scatter / (self.count - 1))


def fit_gaussian(features: Tensor) -> Gaussian:
    """Fit a Gaussian to features [N, F], in float64. Raises ValueError for fewer than two rows."""
    check_features(features, 2)
    fit = GaussianFit()
    fit.add(features)
    return fit.gaussian()


def frechet_distance(real: Gaussian, fake: Gaussian) -> float:
    """Squared Fréchet distance of two Gaussians (Heusel et al. 2017, equation 6):

    |m_r - m_f|^2 + tr(C_r + C_f - 2 (C_r C_f)^(1/2)), at least 0 up to rounding; lower is better.

    The trace of the root is computed as that of the symmetric matrix (A C_f A)^(1/2) with
    A = C_r^(1/2): its eigenvalues are real, and the result also holds for singular covariances.
    """
    values, vectors = torch.linalg.eigh(real.covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = root @ fake.covariance @ root
    trace_of_root = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
    traces = real.covariance.trace() + fake.covariance.trace()
    return float((real.mean - fake.mean).square().sum() + traces - 2 * trace_of_root)
