import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from dcgan.errors import UsageError
from dcgan.latent import noise


def test_a_row_depends_on_its_seed_alone():
    alone = noise.of_seeds([7], 100, "normal")
    among = noise.of_seeds([3, 7, 2**40], 100, "normal")
    assert torch.equal(alone[0], among[1])
    assert not torch.equal(among[0], among[1])
    assert not torch.equal(among[2], noise.of_seeds([2**40 % 2**32], 100, "normal")[0])


@pytest.mark.parametrize(
    ("law", "cdf"), [("normal", scipy.stats.norm.cdf), ("uniform", scipy.stats.uniform(-1, 2).cdf)]
)
def test_laws(law, cdf):
    z = noise.of_seeds(range(500), 40, law)
    assert scipy.stats.kstest(z.flatten().numpy(), cdf).pvalue > 1e-3
    # Neighbouring seeds must not be correlated.
    rows = np.corrcoef(z.numpy())
    assert np.abs(rows - np.eye(500)).max() < 0.8
    assert np.abs(rows - np.eye(500)).mean() == pytest.approx(np.sqrt(2 / np.pi / 40), rel=0.05)


@given(st.floats(0.05, 6))
def test_truncated_normal_has_scipys_quantiles(threshold):
    z = torch.linspace(-4, 4, 101, dtype=torch.float64)
    quantiles = scipy.stats.norm.cdf(z.numpy())
    expected = scipy.stats.truncnorm.ppf(quantiles, -threshold, threshold)
    np.testing.assert_allclose(noise.truncate(z, threshold, "normal"), expected, atol=1e-7)


def test_truncation_keeps_extreme_latents_finite_and_a_wide_one_changes_nothing():
    z = torch.tensor([-9.0, -5, 0, 5, 9])
    assert noise.truncate(z, 0.5, "normal").abs().max() <= 0.5
    torch.testing.assert_close(noise.truncate(z, 30.0, "normal"), z)


def test_truncated_uniform_is_uniform_inside():
    z = torch.linspace(-1, 1, 5)
    torch.testing.assert_close(noise.truncate(z, 0.5, "uniform"), z / 2)
    torch.testing.assert_close(noise.truncate(z, 3.0, "uniform"), z)


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
def test_truncation_must_be_positive(threshold):
    with pytest.raises(UsageError, match="truncation"):
        noise.truncate(torch.zeros(1), threshold, "normal")
