"""The Fréchet distance against a closed form, SciPy and torch-fidelity."""

import numpy as np
import pytest
import scipy.linalg
import torch

from dcgan.evaluation.frechet import Gaussian, fit_gaussian, frechet_distance
from tests.evaluation.features import normal


def test_a_fitted_gaussian_has_numpys_mean_and_covariance():
    x = normal(50, 7, 0, scale=np.arange(1, 8), shift=3)
    found = fit_gaussian(x)
    np.testing.assert_allclose(found.mean, x.numpy().mean(0))
    np.testing.assert_allclose(found.covariance, np.cov(x.numpy(), rowvar=False))


def test_a_gaussian_needs_two_features():
    with pytest.raises(ValueError, match=r"must be \[N, F\] with N >= 2, not \[1, 3\]"):
        fit_gaussian(torch.zeros(1, 3))


def test_commuting_gaussians_have_the_distance_of_the_closed_form():
    """It is |m - n|^2 + sum of (s - t)^2 over the standard deviations along common axes."""
    s = torch.tensor([1.0, 2, 0.5])
    t = torch.tensor([3.0, 0, 0.5])
    shift = torch.tensor([1.0, 0, 2])
    rotation = torch.linalg.qr(normal(3, 3, 1)).Q
    real = Gaussian(torch.zeros(3).double(), rotation @ torch.diag(s.double() ** 2) @ rotation.T)
    fake = Gaussian(shift.double(), rotation @ torch.diag(t.double() ** 2) @ rotation.T)
    assert frechet_distance(real, fake) == pytest.approx(5 + 4 + 4 + 0, abs=1e-6)
    assert frechet_distance(fake, real) == pytest.approx(13, abs=1e-6)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("n", [12, 400], ids=["singular covariances", "full rank"])
def test_the_distance_equals_that_with_scipys_matrix_root(n):
    real = normal(n, 30, 2) @ normal(30, 30, 3)
    fake = normal(n, 30, 4) @ normal(30, 30, 5) + 1
    (m, c), (p, d) = fit_gaussian(real), fit_gaussian(fake)
    # A little on the diagonal keeps SciPy's root defined, as in pytorch-fid.
    root = scipy.linalg.sqrtm(
        (c + 1e-9 * torch.eye(30)).numpy() @ (d + 1e-9 * torch.eye(30)).numpy()
    )
    expected = float((m - p).square().sum() + c.trace() + d.trace()) - 2 * np.trace(root).real
    assert frechet_distance(fit_gaussian(real), fit_gaussian(fake)) == pytest.approx(
        expected, rel=1e-4
    )


@pytest.mark.parametrize("n", [12, 400], ids=["singular covariances", "full rank"])
def test_the_distance_equals_the_fid_of_torch_fidelity(n):
    metric_fid = pytest.importorskip("torch_fidelity.metric_fid")
    real = normal(n, 30, 6) @ normal(30, 30, 7)
    fake = normal(n + 5, 30, 8) @ normal(30, 30, 9) + 0.5
    statistics = [metric_fid.fid_features_to_statistics(features) for features in (fake, real)]
    expected = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)
    found = frechet_distance(fit_gaussian(real), fit_gaussian(fake))
    assert found == pytest.approx(expected["frechet_inception_distance"], rel=1e-6)
