"""The most probable latents: the prior, and the minimum that the search ends in."""

import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from dcgan.latent import posterior
from dcgan.latent.posterior import from_gaussian, most_probable
from dcgan.networks import fold_batch_norm
from tests.latent.generators import make_generator

NO_LABELS = torch.zeros(0)


def test_uniform_latents_are_the_same_quantiles():
    u = torch.linspace(-3, 3, 25)
    expected = torch.from_numpy(2 * stats.norm.cdf(u.numpy()) - 1).float()
    torch.testing.assert_close(from_gaussian(u, "uniform"), expected, atol=1e-6, rtol=1e-6)
    assert from_gaussian(u, "normal") is u


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_the_search_ends_in_a_minimum_of_the_documented_energy(distribution, monkeypatch):
    """Of an image of noise, with few residuals, so that the prior counts. The energy has kinks, at
    which the search may stop a little above the minimum.
    """
    monkeypatch.setattr(posterior, "_MIN_GAIN", 1e-4)
    monkeypatch.setattr(posterior, "_RESIDUALS", 50)
    G = fold_batch_norm(make_generator(latent=distribution))
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(3, 16, 16, generator=generator) * 2 - 1
    with torch.no_grad():
        u, found = most_probable(G, image, torch.zeros(6), NO_LABELS)
        steps = F.normalize(torch.randn(500, 6, generator=generator)) * 0.2
        points = torch.cat([u[None], u + steps, torch.zeros(1, 6)])
        errors = (G(from_gaussian(points, distribution)) - image).square().mean((1, 2, 3))
        energies = 50 * torch.log(errors + (2 / 255) ** 2 / 12) + points.square().sum(1)
    assert found == pytest.approx(energies[0].item(), abs=1e-3)
    assert energies[1:-1].min() > found - 0.05 and energies[-1] > found + 0.5
    assert u.norm() > 0.5  # or the prior alone would do


def test_an_image_unlike_all_others_gets_latents_that_are_not_far_out():
    """Without the prior, saturated images pull latents out of the range of training."""
    G = fold_batch_norm(make_generator())
    for image in (torch.ones(3, 16, 16), -torch.ones(3, 16, 16)):
        with torch.no_grad():
            u, _ = most_probable(G, image, torch.zeros(6), NO_LABELS)
        assert u.isfinite().all() and u.norm() < 3 * 6**0.5


def test_a_start_that_is_not_finite_is_no_crash():
    G = fold_batch_norm(make_generator())
    with torch.no_grad():
        u, _ = most_probable(G, torch.zeros(3, 16, 16), torch.full((6,), torch.nan), NO_LABELS)
    assert u.isnan().all()
