"""Local contrast normalisation."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.deconv.sparse_coding import normalize_contrast


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5


def test_a_window_larger_than_the_image_is_the_mean_of_the_image():
    images = noise(2, 3, 8, 11)
    found = normalize_contrast(images, 1e12)
    mean = images.mean((2, 3), keepdim=True)
    torch.testing.assert_close(found.mean, mean.expand_as(images))


def test_the_definition_at_every_pixel():
    images, sigma, radius = noise(1, 2, 9, 20), 2.0, 2
    found = normalize_contrast(images, sigma)
    x = images[0].numpy()

    def window(y, z, height, width):
        ys = range(max(0, y - radius), min(height, y + radius + 1))
        zs = range(max(0, z - radius), min(width, z + radius + 1))
        weights = np.array(
            [[np.exp(-((a - y) ** 2 + (b - z) ** 2) / (2 * sigma**2)) for b in zs] for a in ys]
        )
        return ys, zs, weights / weights.sum()

    mean, deviation = np.zeros_like(x), np.zeros(x.shape[1:])
    for y, z in np.ndindex(*x.shape[1:]):
        ys, zs, weights = window(y, z, *x.shape[1:])
        mean[:, y, z] = (x[:, ys.start : ys.stop, zs.start : zs.stop] * weights).sum((1, 2))
    centred = x - mean
    for y, z in np.ndindex(*x.shape[1:]):
        ys, zs, weights = window(y, z, *x.shape[1:])
        squares = (centred[:, ys.start : ys.stop, zs.start : zs.stop] ** 2).mean(0)
        deviation[y, z] = np.sqrt((squares * weights).sum())
    expected = centred / np.maximum(deviation, deviation.mean())
    np.testing.assert_allclose(found.normalized[0].numpy(), expected, atol=1e-10)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.5, 5), st.floats(-1, 1), st.sampled_from([1, 3]), st.floats(1, 6))
def test_contrast_and_brightness_do_not_matter(scale, shift, channels, sigma):
    images = noise(2, channels, 12, 7)
    a, b = (normalize_contrast(x, sigma) for x in (images, images * scale + shift))
    torch.testing.assert_close(a.normalized, b.normalized)
    torch.testing.assert_close(b.restore(b.normalized), images * scale + shift)


def test_flat_images_become_zero_and_images_do_not_mix():
    images = noise(3, 1, 10, 10)
    images[1] = 0.25
    together, alone = normalize_contrast(images), normalize_contrast(images[2:])
    assert together.normalized[1].abs().max() < 1e-12
    torch.testing.assert_close(together.normalized[2:], alone.normalized)
    assert normalize_contrast(torch.ones(1, 1, 1, 1)).normalized.abs().max() < 1e-6
