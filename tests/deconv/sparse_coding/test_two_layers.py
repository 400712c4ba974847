"""Two layers, with the connectivity of 2010 and with the pooling of 2011."""

import pytest
import torch

from dcgan.deconv.sparse_coding import (
    Pool,
    encode_pooled,
    encode_two_layers,
    learn_above_pool,
    learn_filters,
    learn_second_layer,
    pair_connectivity,
    pool_maps,
    project_filters,
    signal_to_noise,
    unpool_maps,
)
from dcgan.deconv.sparse_coding.operators import Synthesis
from dcgan.errors import UsageError
from tests.deconv.sparse_coding.test_fista import normal, unit


def test_the_connectivity_of_the_paper():
    connectivity = pair_connectivity(9)
    assert connectivity.shape == (45, 9)
    assert connectivity[:9].int().equal(torch.eye(9).int())
    assert (connectivity[9:].sum(1) == 2).all() and len(connectivity.unique(dim=0)) == 45


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Few values of a planted second layer, seen through two layers of filters."""
    maps = torch.zeros(6, 3, 18, 18)
    where = torch.rand(maps.shape, generator=torch.Generator().manual_seed(0)) < 0.01
    maps[where] = 5.0
    upper = unit(3, 3, 3, 3, seed=1) * pair_connectivity(3)[[0, 3, 5]][..., None, None]
    lower = unit(3, 1, 3, 3, seed=2)
    return Synthesis(lower.float()).forward(Synthesis(upper.float()).forward(maps))


def test_the_second_layer_reconstructs_the_maps_of_the_first(images):
    lower = learn_filters(images, 3, 3, 10.0, rounds=15)
    upper = learn_second_layer(lower.maps, 3, 10.0, rounds=10)
    assert upper.filters.shape == (6, 3, 3, 3)
    assert not upper.filters[~pair_connectivity(3)].any(), "only what is connected is learnt"
    assert upper.filters[pair_connectivity(3)].any(2).any(1).float().mean() > 0.5
    assert (upper.energies[1:] <= upper.energies[:-1] * (1 + 1e-6)).all()
    codes = encode_two_layers(images, lower.filters, upper.filters, 10.0, 10.0, iterations=300)
    expected = Synthesis(lower.filters).forward(Synthesis(upper.filters).forward(codes.upper.maps))
    torch.testing.assert_close(codes.upper.reconstructions, expected)
    energies = codes.upper.energies
    assert (energies[1:] <= energies[:-1]).all()
    error = (codes.upper.reconstructions - images).square().sum((1, 2, 3))
    now = 5.0 * error + codes.upper.maps.abs().sum((1, 2, 3))
    torch.testing.assert_close(energies[-1], now, rtol=1e-4, atol=1e-4)
    assert signal_to_noise(images, codes.upper.reconstructions).min() > 3
    assert signal_to_noise(images, codes.lower.reconstructions).min() > 6


def test_filters_of_the_second_layer_as_images():
    lower, upper = unit(3, 2, 4, 4).float(), unit(5, 3, 3, 3, seed=1).float()
    projected = project_filters(lower, upper)
    assert projected.shape == (5, 2, 6, 6)
    maps = torch.zeros(5, 5, 9, 9)
    for k in range(5):
        maps[k, k, 4, 4] = 1  # so far inside that nothing is cut
    through = Synthesis(lower).forward(Synthesis(upper).forward(maps))
    assert through.shape[2:] == (4, 4)
    torch.testing.assert_close(projected[:, :, 1:5, 1:5], through)


def test_two_layers_with_pooling_reconstruct_the_image(images):
    pool = Pool(maps=2, extent=2)
    lower = learn_filters(images, 4, 3, 10.0, rounds=10, pool=pool).filters
    learned = learn_above_pool(images, lower, 5, 3, 10.0, rounds=10, pool=pool, seed=1)
    assert learned.filters.shape == (5, 2, 3, 3)
    assert (learned.energies[1:] <= learned.energies[:-1] * (1 + 1e-6)).all()
    assert learned.energies[-1] < 0.7 * learned.energies[0]
    codes = encode_pooled(images, lower, learned.filters, 10.0, pool, iterations=300)
    assert (codes.lower.energies[1:] <= codes.lower.energies[:-1]).all()
    assert (codes.upper.energies[1:] <= codes.upper.energies[:-1]).all()
    kept = pool_maps((codes.lower.maps != 0).float(), pool)[0]
    assert kept.sum() == (codes.lower.maps != 0).sum(), "one value of a region at most"
    assert torch.equal(unpool_maps(codes.pooled, codes.switches), codes.lower.maps)
    maps = unpool_maps(Synthesis(learned.filters).forward(codes.upper.maps), codes.switches)
    expected = Synthesis(lower).forward(maps)
    torch.testing.assert_close(codes.upper.reconstructions, expected)
    now = 5.0 * (expected - images).square().sum((1, 2, 3)) + codes.upper.maps.abs().sum((1, 2, 3))
    torch.testing.assert_close(codes.upper.energies[-1], now, rtol=1e-4, atol=1e-4)


def test_a_pool_of_one_changes_nothing(images):
    lower, upper = unit(2, 1, 3, 3).float(), unit(3, 2, 3, 3, seed=1).float()
    pooled = encode_pooled(images, lower, upper, 5.0, Pool(1, 1), iterations=200)
    plain = encode_two_layers(images, lower, upper, 5.0, 5.0, iterations=200)
    torch.testing.assert_close(pooled.lower.maps, plain.lower.maps)
    torch.testing.assert_close(
        pooled.upper.energies[-1], plain.upper.energies[-1], rtol=1e-3, atol=0
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: pair_connectivity(0), "--maps must be a whole number of at least 1"),
        (
            lambda x: encode_two_layers(x, unit(2, 1, 3, 3), unit(2, 3, 3, 3)),
            r"second layer needs filters \[L, 2, h, w\], not \[2, 3, 3, 3\]",
        ),
        (
            lambda x: encode_pooled(x, unit(4, 1, 3, 3), unit(2, 4, 3, 3)),
            r"sparse coding of 2 channels needs filters \[K, 2, h, w\], not \[2, 4, 3, 3\]",
        ),
        (lambda x: learn_above_pool(x, unit(4, 1, 3, 3), 2, 12), "larger than the images, 8x8"),
        (lambda x: learn_second_layer(normal(1, 2, 4, 4), 5), "filters of 5x5 pixels"),
    ],
)
def test_mistakes_are_named(images, call, words):
    with pytest.raises(UsageError, match=words):
        call(images[:, :, :14, :14])
