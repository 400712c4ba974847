"""Noise from seeds: its distribution, and truncation against SciPy."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.errors import UsageError
from dcgan.latent import noise_from_seeds, truncate


def test_a_latent_depends_on_its_seed_alone():
    alone = noise_from_seeds([7], 100, "normal")
    among = noise_from_seeds([3, 7, 2**40], 100, "normal")
    assert torch.equal(alone[0], among[1])
    assert not torch.equal(among[0], among[1])
    assert not torch.equal(among[2], noise_from_seeds([2**40 % 2**32], 100, "normal")[0])


@pytest.mark.parametrize(
    ("distribution", "cdf"),
    [("normal", scipy.stats.norm.cdf), ("uniform", scipy.stats.uniform(-1, 2).cdf)],
)
def test_latents_follow_their_distribution_and_are_uncorrelated(distribution, cdf):
    z = noise_from_seeds(range(500), 40, distribution)
    assert scipy.stats.kstest(z.flatten().numpy(), cdf).pvalue > 1e-3
    correlations = np.abs(np.corrcoef(z.numpy()) - np.eye(500))
    assert correlations.max() < 0.8
    assert correlations.mean() == pytest.approx(np.sqrt(2 / np.pi / 40), rel=0.05)


@settings(deadline=None)
@given(st.floats(0.05, 6))
def test_truncated_normal_latents_have_scipys_quantiles(threshold):
    z = torch.linspace(-4, 4, 101, dtype=torch.float64)
    quantiles = scipy.stats.norm.cdf(z.numpy())
    expected = scipy.stats.truncnorm.ppf(quantiles, -threshold, threshold)
    np.testing.assert_allclose(truncate(z, threshold, "normal"), expected, atol=1e-7)


def test_truncation_keeps_extreme_latents_finite():
    z = torch.tensor([-9.0, -5, 0, 5, 9])
    assert truncate(z, 0.5, "normal").abs().max() <= 0.5


def test_truncation_at_a_large_threshold_changes_nothing():
    z = torch.tensor([-9.0, -5, 0, 5, 9])
    torch.testing.assert_close(truncate(z, 30.0, "normal"), z)


def test_truncated_uniform_latents_are_uniform_up_to_the_threshold():
    z = torch.linspace(-1, 1, 5)
    torch.testing.assert_close(truncate(z, 0.5, "uniform"), z / 2)
    torch.testing.assert_close(truncate(z, 3.0, "uniform"), z)


@pytest.mark.parametrize("seed", [-1, 1.5, "3", None])
def test_seeds_are_whole_numbers_of_at_least_0(seed):
    with pytest.raises(UsageError, match=f"a seed must be .* not {seed!r}"):
        noise_from_seeds([0, seed], 4, "normal")


def test_seeds_may_be_numbers_of_numpy_or_torch_or_none_at_all():
    expected = noise_from_seeds([0, 1, 2], 4, "normal")
    for seeds in (np.arange(3), torch.arange(3)):
        assert torch.equal(noise_from_seeds(seeds, 4, "normal"), expected)
    assert noise_from_seeds([], 4, "normal").shape == (0, 4)


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
def test_truncation_must_be_positive(threshold):
    with pytest.raises(UsageError, match="truncation"):
        truncate(torch.zeros(1), threshold, "normal")
