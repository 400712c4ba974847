import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.deconv.autoencoder.corruption import corrupt, corrupt_images, sample_corruption
from dcgan.errors import UsageError

KINDS = ("gaussian", "masking", "salt-and-pepper")
SHAPE = (3, 5, 4)


def test_gaussian_noise_has_the_standard_deviation_of_its_level():
    grey = torch.zeros(50, 3, 16, 16)
    noisy = corrupt_images(grey, "gaussian", 0.2, seed=0)
    assert abs(float(noisy.std()) - 0.2) < 0.002
    assert abs(float(noisy.mean())) < 0.002
    channels = noisy.transpose(0, 1).flatten(1)
    assert torch.allclose(torch.corrcoef(channels), torch.eye(3), atol=0.03), "independent"


def test_noise_beyond_the_range_of_pixels_is_clipped():
    white = torch.ones(20, 1, 16, 16)
    noisy = corrupt_images(white, "gaussian", 0.5, seed=0)
    assert float(noisy.max()) == 1 and 0.45 < float((noisy == 1).float().mean()) < 0.55
    assert float(corrupt_images(-white, "gaussian", 0.5, seed=0).min()) == -1


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 1), st.integers(0, 2**40), st.integers(0, 1000))
def test_a_fixed_number_of_values_is_replaced(level, seed, step):
    """Vincent et al. 2008: "a fixed number of components are chosen at random"."""
    images = torch.full((3, *SHAPE), 0.25)
    count = round(level * 60)
    masked = corrupt_images(images, "masking", level, seed, step)
    assert (masked == 0).flatten(1).sum(1).tolist() == [count] * 3
    assert (masked == 0.25).flatten(1).sum(1).tolist() == [60 - count] * 3
    salted = corrupt_images(images, "salt-and-pepper", level, seed, step)
    assert (salted.abs() == 1).flatten(1).sum(1).tolist() == [count] * 3
    assert (salted == 0.25).flatten(1).sum(1).tolist() == [60 - count] * 3


def test_salt_is_as_frequent_as_pepper_and_falls_everywhere():
    images = torch.zeros(2000, *SHAPE)
    salted = corrupt_images(images, "salt-and-pepper", 0.5, seed=1)
    assert abs(float((salted == 1).float().mean()) - 0.25) < 0.01
    assert abs(float((salted == -1).float().mean()) - 0.25) < 0.01
    places = (salted != 0).float().mean(0)
    assert float(places.min()) > 0.45 and float(places.max()) < 0.55


@settings(deadline=None, max_examples=20)
@given(
    st.sampled_from(KINDS),
    st.integers(0, 2**50),
    st.integers(0, 10**6),
    st.lists(st.integers(0, 500), min_size=1, max_size=5, unique=True),
)
def test_the_corruption_of_an_image_depends_on_seed_step_and_index_alone(kind, seed, step, indices):
    def sample(*of):
        scale, offset = sample_corruption(kind, (0.2, 0.6), SHAPE, seed, step, of)
        return np.broadcast_to(scale, offset.shape), offset

    together = sample(*indices)
    for place, index in enumerate(indices):
        for ours, alone in zip(together, sample(index), strict=True):
            assert (ours[place] == alone[0]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_steps_seeds_and_indices_have_noise_of_their_own(kind):
    images = torch.full((1, *SHAPE), 0.5)
    seen = [
        corrupt_images(images, kind, 0.4, seed, step, first).numpy().tobytes()
        for seed, step, first in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    ]
    assert len(set(seen)) == 4


def test_low_levels_are_more_frequent():
    """Levels are 0.2 + 0.4 u^2 for uniform u: below 0.3 for half of the images."""
    scale, _ = sample_corruption("masking", (0.2, 0.6), (1, 30, 30), 0, 0, range(400))
    fractions = 1 - scale.mean((1, 2, 3))
    assert 0.199 < fractions.min() < 0.201 and 0.58 < fractions.max() < 0.601
    assert abs((fractions < 0.3).mean() - 0.5) < 0.06
    assert abs(fractions.mean() - (0.2 + 0.4 / 3)) < 0.02


def test_the_clean_images_stay_as_they_are():
    images = torch.rand(2, *SHAPE)
    before = images.clone()
    corrupt(images, torch.ones(2, 1, 1, 1), torch.ones(2, *SHAPE))
    assert torch.equal(images, before)


@pytest.mark.parametrize(("kind", "level"), [("blur", 0.1), ("masking", 1.5), ("gaussian", -0.1)])
def test_unknown_kinds_and_levels_are_refused(kind, level):
    with pytest.raises(UsageError, match=r"--corruption must be one|--noise-levels must be from 0"):
        corrupt_images(torch.zeros(1, *SHAPE), kind, level, seed=0)
