"""Fréchet distance of Gaussians fitted to features: FID (Heusel et al. 2017) on any features."""

from typing import NamedTuple

import torch
from torch import Tensor

from dcgan.evaluation.pairwise import check_features, to_float64


class Gaussian(NamedTuple):
    """Mean [F] and unbiased covariance [F, F] of features."""

    mean: Tensor
    covariance: Tensor


def fit_gaussian(features: Tensor) -> Gaussian:
    """Fit a Gaussian to features [N, F], in float64. Raises ValueError for fewer than two rows."""
    check_features(features, 2)
    x = to_float64(features)
    mean = x.mean(0)
    centred = x - mean
    return Gaussian(mean, centred.T @ centred / (len(x) - 1))


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
