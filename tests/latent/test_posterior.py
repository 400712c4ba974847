"""The most probable latents: the prior, and the minimum that the search ends in."""

import pytest
import torch
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
def test_the_search_ends_where_the_gradient_of_the_documented_energy_is_zero(
    distribution, monkeypatch
):
    """By autograd, for an image of noise, which no latent makes."""
    monkeypatch.setattr(posterior, "_MIN_GAIN", 1e-4)
    monkeypatch.setattr(posterior, "_MAX_ITERATIONS", 200)
    G = fold_batch_norm(make_generator(latent=distribution))
    image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1

    def energy(u):
        error = (G(from_gaussian(u, distribution)[None])[0] - image).square().mean()
        return 200 * torch.log(error + (2 / 255) ** 2 / 12) + u.square().sum()

    start = torch.zeros(6)
    with torch.no_grad():
        u, found = most_probable(G, image, start, NO_LABELS)
    gradients = [torch.autograd.functional.jacobian(energy, point) for point in (start, u)]
    assert found == pytest.approx(energy(u).item(), abs=1e-3)
    assert gradients[1].norm() < 0.05 * gradients[0].norm()


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
