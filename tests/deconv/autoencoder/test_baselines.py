import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dcgan.deconv.autoencoder import baselines
from dcgan.deconv.autoencoder.baselines import (
    best_median_size,
    choose_for_pca,
    median_filter,
    principal_components,
)
from dcgan.images import to_float


@pytest.mark.parametrize("size", [3, 5, 7])
def test_the_median_filter_is_that_of_scipy(size, monkeypatch):
    x = np.random.default_rng(size).standard_normal((3, 2, 9, 12), np.float32)
    expected = ndimage.median_filter(x, (1, 1, size, size), mode="mirror")
    assert (median_filter(torch.from_numpy(x), size).numpy() == expected).all()
    monkeypatch.setattr(baselines, "_MAX_WINDOW_NUMBERS", 1)  # one image at a time
    assert (median_filter(torch.from_numpy(x), size).numpy() == expected).all()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """40 images of 8x8 in a space of 6 dimensions, but for rounding."""
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((6, 8, 8, 3))
    mixed = np.tensordot(rng.standard_normal((40, 6)), parts, 1)
    return np.clip(127 + 15 * mixed, 0, 255).astype(np.uint8)


def test_projections_are_those_of_the_singular_value_decomposition(pixels):
    pca = principal_components(pixels)
    x = to_float(torch.from_numpy(pixels))
    noisy = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    flat = x.flatten(1).double()
    _, _, vectors = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    for count in (0, 1, 4, 20):
        projector = vectors[:count].T @ vectors[:count]
        expected = flat.mean(0) + (noisy.flatten(1).double() - flat.mean(0)) @ projector
        made = pca.project(noisy, count).flatten(1).double()
        assert torch.allclose(made, expected.clamp(-1, 1), atol=1e-4)


@settings(deadline=None, max_examples=10)
@given(st.floats(0, 2), st.integers(0, 1000))
def test_the_best_number_of_components_is_the_best_of_all(sigma, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (12, 4, 4, 1), dtype=np.uint8)
    pca, x = principal_components(pixels), to_float(torch.from_numpy(pixels))
    noisy = x + sigma * torch.from_numpy(rng.standard_normal(x.shape, np.float32))

    def error(count: int) -> float:
        flat = noisy.flatten(1) - pca.mean
        kept = pca.components[:count]
        return float((pca.mean + flat @ kept.T @ kept - x.flatten(1)).square().sum())

    errors = [error(count) for count in range(len(pca.components) + 1)]
    assert errors[pca.best_count(x, noisy)] <= min(errors) * (1 + 1e-4) + 1e-4


def test_noise_calls_for_fewer_components_and_larger_windows(pixels):
    pca, x = principal_components(pixels), to_float(torch.from_numpy(pixels))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    counts = [pca.best_count(x, x + sigma * noise) for sigma in (0, 0.1, 3)]
    assert counts[0] > counts[1] > counts[2] and counts[1] == 6
    flat = torch.zeros(2, 3, 16, 16)
    edge = flat.clone()
    edge[..., 8:, 8:] = 1
    edge[..., :2, :2] = -1
    noise = torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))
    assert best_median_size(edge, edge + 0.01 * noise) == 3
    assert best_median_size(flat, flat + noise) == 7


def test_pca_learns_from_images_all_over_the_set():
    assert choose_for_pca(np.arange(100, 110), 1).tolist() == list(range(100, 110))
    chosen = choose_for_pca(np.arange(10**6), 12288)
    assert len(chosen) == len(set(chosen)) == 2000
    assert chosen[0] == 0 and chosen[-1] == 10**6 - 1
