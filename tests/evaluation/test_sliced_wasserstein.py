"""The Laplacian pyramid against SciPy, and the distance on its levels against closed forms."""

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch

from dcgan.evaluation.sliced_wasserstein import (
    _PATCHES,
    _cut_patches,
    _laplacian_pyramid,
    _level_sides,
    _normalize_channels,
    _random_corners,
    pyramid_distances,
    sliced_wasserstein_distance,
)


def noise(n, side, seed, channels=3):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (n, channels, side, side)).astype(np.uint8))


def smooth(n, side, seed, sigma=2.0):
    images = scipy.ndimage.gaussian_filter(noise(n, side, seed).numpy() / 1.0, (0, 0, sigma, sigma))
    return torch.from_numpy(np.clip((images - 127.5) * 4 + 127.5, 0, 255).astype(np.uint8))


def reference(image):
    """The authors' pyramid of one channel, with two-dimensional convolutions."""
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    levels = [image]
    while len(levels[-1]) > 16:
        small = scipy.ndimage.convolve(levels[-1], kernel, mode="mirror")[::2, ::2]
        wide = np.zeros_like(levels[-1])
        wide[::2, ::2] = small
        levels[-1] = levels[-1] - scipy.ndimage.convolve(wide, 4 * kernel, mode="mirror")
        levels.append(small)
    return levels


@pytest.mark.parametrize("size", [8, 16, 64])
def test_the_pyramid_is_that_of_scipy(size):
    image = noise(1, size, 0).float()
    found = _laplacian_pyramid(image)
    expected = reference(image[0, 1].numpy().astype(np.float64))
    assert [level.shape[-1] for level in found] == _level_sides(size)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours[0, 1], theirs, atol=1e-3)


def test_an_image_of_one_colour_has_empty_bands():
    *bands, last = _laplacian_pyramid(torch.full((1, 3, 64, 64), 90.0))
    assert all(band.abs().max() < 1e-4 for band in bands)
    torch.testing.assert_close(last, torch.full((1, 3, 16, 16), 90.0))


def test_random_patches_come_from_everywhere_in_their_own_image():
    """Pixels that hold their position and image number tell where a patch was cut."""
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    level = (
        torch.stack([rows, columns]).repeat(5, 1, 1, 1)
        + 100 * torch.arange(5.0)[:, None, None, None]
    )
    patches = _cut_patches(level, _random_corners(5, 16, 0, 300)).view(5, 300, 2, 7, 7)
    steps = torch.arange(7.0)
    for i in range(5):
        top, left = patches[i, :, 0, 0, 0] - 100 * i, patches[i, :, 1, 0, 0] - 100 * i
        assert set(top.tolist()) == set(left.tolist()) == set(range(10)), "the last place too"
        assert torch.equal(
            patches[i, :, 0] - 100 * i, (top[:, None, None] + steps[:, None]).expand(300, 7, 7)
        )
        assert torch.equal(
            patches[i, :, 1] - 100 * i, (left[:, None, None] + steps).expand(300, 7, 7)
        )


def test_each_channel_is_normalised_by_itself():
    patches = torch.from_numpy(np.random.default_rng(0).normal(size=(1000, 3, 49))).float()
    patches = patches * torch.tensor([1.0, 10, 100])[:, None] + torch.tensor([0.0, 5, -50])[:, None]
    found = _normalize_channels(patches.flatten(1)).view(1000, 3, 49)
    torch.testing.assert_close(found.mean((0, 2)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std((0, 2)), torch.ones(3), atol=1e-4, rtol=0)


@pytest.mark.parametrize("value", [127, 200, 255])
def test_a_set_of_one_colour_is_normalised_to_zeros(value):
    """A rounded mean would leave a difference, to be divided by a deviation of 0."""
    patches = torch.full((200 * _PATCHES, 3 * 49), float(value))
    assert not _normalize_channels(patches).any()


def test_in_one_dimension_the_distance_is_scipys():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(200, 1)), rng.gamma(2, size=(200, 1))
    found = sliced_wasserstein_distance(torch.from_numpy(x), torch.from_numpy(y), 0, 20)
    assert found == pytest.approx(scipy.stats.wasserstein_distance(x[:, 0], y[:, 0]))


def test_a_shift_in_three_dimensions_has_half_its_length_as_distance():
    """A unit vector of 3 dimensions has |component| 1/2 on average (Archimedes)."""
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(50, 3)))
    found = sliced_wasserstein_distance(x, x + torch.tensor([0, 0, 4.0]), 0, 4000)
    assert found == pytest.approx(2, rel=3 * math.sqrt(1 / 3) / math.sqrt(4000))


def test_sets_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="cannot be compared"):
        sliced_wasserstein_distance(torch.zeros(3, 2), torch.zeros(4, 2), 0)


def level_distances(real, fake):
    return pyramid_distances(real, fake, patches=32, directions=64)


def test_each_level_responds_to_its_own_frequencies():
    real, other = smooth(200, 64, 3), smooth(200, 64, 4)
    floor = level_distances(real, other)
    assert list(floor) == [64, 32, 16]
    rng = np.random.default_rng(5)
    grain = rng.integers(-50, 51, other.shape)
    grain = grain - scipy.ndimage.uniform_filter(grain / 1.0, (0, 0, 2, 2))
    fine = level_distances(real, (other + torch.from_numpy(grain)).clamp(0, 255).to(torch.uint8))
    assert fine[64] > 2 * floor[64]
    assert fine[16] < 1.3 * floor[16]
    blobs = scipy.ndimage.gaussian_filter(rng.normal(size=other.shape), (0, 0, 8, 8)) * 2000
    coarse = level_distances(real, (other + torch.from_numpy(blobs)).clamp(0, 255).to(torch.uint8))
    assert coarse[16] > 2 * floor[16]


def test_the_distance_does_not_depend_on_torchs_random_state():
    real, fake = smooth(20, 32, 6), smooth(20, 32, 7)
    state = torch.get_rng_state()
    first = level_distances(real, fake)
    torch.manual_seed(1)
    assert level_distances(real, fake) == first
    torch.set_rng_state(state)
