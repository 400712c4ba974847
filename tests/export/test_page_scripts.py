"""The JavaScript of exported pages computes what the Python it is written after does."""

import numpy as np
import pytest
import torch

from dcgan import latent, sampling
from dcgan.export.page import page_content
from dcgan.latent import Labels, noise_from_seeds
from tests.export.pages import needs_node, pixels, run_in_node, some_directions, wanted
from tests.latent.generators import ATTRIBUTES, CLASSES, make_generator

pytestmark = needs_node

SEEDS = [*range(200), 2**31, 2**32 - 1, 2**32, 2**53 + 1, 10**19 - 1]


def page_of(G) -> str:
    return page_content(G, "a model", some_directions(G))


def inputs(page: str, descriptions: list[dict]) -> torch.Tensor:
    return torch.tensor(run_in_node([["input", each] for each in descriptions], page))


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_latents_of_seeds_are_those_of_numpy(distribution):
    G = make_generator(latent_dim=120, latent=distribution, width=1, size=8)
    found = inputs(page_of(G), [wanted(seed) for seed in SEEDS])
    expected = noise_from_seeds(SEEDS, 120, distribution)
    if distribution == "normal":
        assert expected.abs().max() > 3.7, "the tail beyond the layers is among them"
    # Bit for bit but in the tail, where the logarithms of C and JavaScript may differ by rounding.
    assert (found == expected).float().mean() > 0.9999
    torch.testing.assert_close(found, expected, rtol=3e-7, atol=0)


def test_whole_numbers_below_a_bound_are_those_of_numpy():
    bounds = [1, 2, 3, 1000, 2**31 + 5, 2**32 - 1, 2**32, 2**32 + 1, 2**40 + 9, 2**62 + 1]
    calls = [["below", [seed, 1], str(bound), 40] for seed, bound in enumerate(bounds)]
    for seed, (bound, found) in enumerate(zip(bounds, run_in_node(calls), strict=True)):
        rng = np.random.default_rng([seed, 1])
        assert list(map(int, found)) == [int(rng.integers(bound)) for _ in range(40)]


@pytest.mark.parametrize("threshold", [0.01, 0.5, 1.0, 2.5, 6.0])
def test_truncated_latents_are_those_of_truncate(threshold):
    x = torch.cat([torch.linspace(-6, 6, 241), torch.tensor([1e-6, -1e-6, 0.0])]).double()
    found = torch.tensor(run_in_node([["truncate", x.tolist(), threshold]])[0]).double()
    expected = latent.truncate(x, threshold, "normal")
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_interpolated_latents_are_those_of_walks(distribution):
    a, b = noise_from_seeds([5, 6], 50, distribution)
    places = [0.0, 0.1, 0.5, 0.9, 1.0]
    calls = [["interpolate", a.tolist(), b.tolist(), t, distribution] for t in places]
    found = torch.tensor(run_in_node(calls))
    path = latent.interpolation_for(distribution)
    expected = path(a, b, torch.tensor(places)[:, None])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("labels", "fixed"),
    [(CLASSES, {}), (CLASSES, {1: 1.0}), (ATTRIBUTES, {})]
    + [(ATTRIBUTES, fixed) for fixed in ({0: 1.0}, {0: 0.0}, {0: 1.0, 1: 0.0}, {1: 1.0})],
)
def test_labels_of_seeds_are_those_of_the_generator(labels, fixed):
    G = make_generator(labels, width=1, size=8)
    pairs = [[index, int(value)] for index, value in fixed.items()]
    found = inputs(page_of(G), [wanted(seed, fixed=pairs) for seed in range(60)])
    assert torch.equal(found[:, G.latent_dim :], labels.from_seeds(range(60), fixed))


def test_labels_with_counts_beyond_32_bits_are_those_of_the_generator():
    labels = Labels("class", ("cat", "dog"), np.array([2**60, 2**61 + 7]))
    G = make_generator(labels, width=1, size=8)
    found = inputs(page_of(G), [wanted(seed) for seed in range(60)])
    assert torch.equal(found[:, G.latent_dim :], labels.from_seeds(range(60)))


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_directions_move_truncated_latents(distribution):
    G = make_generator(latent=distribution, width=1, size=8)
    offset = torch.tensor([0.5, 2 * -1.5, *[0.0] * (G.latent_dim - 2)])
    found = inputs(page_of(G), [wanted(3, truncation=0.8, offsets=[0.5, 2 * -1.5])])
    z = noise_from_seeds([3], G.latent_dim, distribution, 0.8)
    torch.testing.assert_close(found, latent.move(z, offset, distribution), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        dict(size=32, width=8),
        dict(size=16, width=3, channels=1),
        dict(size=16, kernel_size=5, latent="uniform"),
        dict(size=8, width=1, latent_dim=1),
        dict(labels=CLASSES),
        dict(labels=ATTRIBUTES, size=32, kernel_size=5, channels=1),
    ],
    ids=["plain", "grey-odd", "kernel-5-uniform", "smallest", "class", "attributes"],
)
def test_pictures_are_those_that_sample_draws(options):
    G = make_generator(**options)
    seeds = range(6)
    found = run_in_node([["pixels", wanted(seed)] for seed in seeds], page_of(G))
    drawn = np.array([pixels(flat, G) for flat in found], int)
    expected = np.concatenate(list(sampling.sample(G, seeds, precision="fp32")))
    assert expected.std() > 10, "pictures with contrast"
    assert np.abs(drawn - expected).mean() < 0.3
    assert np.abs(drawn - expected).max() <= 4


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_weights_beyond_half_precision_are_scaled_into_it(scale):
    """Batch norm undoes the scale of a kernel, so that nothing limits it in training."""
    G = make_generator(size=16)
    expected = np.concatenate(list(sampling.sample(G, range(4), precision="fp32")))
    with torch.no_grad():
        for convolution, norm in ((G.layers[0], G.layers[1]), (G.layers[3], G.layers[4])):
            convolution.weight *= scale
            norm.running_mean *= scale
            norm.weight *= ((scale**2 * norm.running_var + norm.eps) ** 0.5) / (
                (norm.running_var + norm.eps) ** 0.5 * scale
            )
            norm.running_var *= scale**2
    found = run_in_node([["pixels", wanted(seed)] for seed in range(4)], page_of(G))
    drawn = np.array([pixels(flat, G) for flat in found], int)
    assert np.abs(drawn - expected).mean() < 0.5
