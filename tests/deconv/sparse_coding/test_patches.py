"""Coding of patches, against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import sparse_encode

from dcgan.deconv.sparse_coding import encode, learn_filters, random_patches, whitening
from dcgan.errors import UsageError
from tests.deconv.sparse_coding.photographs import crops
from tests.deconv.sparse_coding.test_fista import normal, unit


@pytest.mark.parametrize("channels", [1, 3])
def test_agreement_with_scikit_learn(channels):
    filters, patches = unit(30, channels, 4, 5), normal(8, channels, 4, 5, seed=1)
    codes = encode(patches, filters, 2.5, iterations=5000, tolerance=0, padding=0)
    assert codes.maps.shape == (8, 30, 1, 1)
    theirs = sparse_encode(
        *(patches.flatten(1).numpy(), filters.flatten(1).numpy()),
        **dict(algorithm="lasso_cd", alpha=1 / 2.5, max_iter=20_000),
    )
    lars = sparse_encode(
        *(patches.flatten(1).numpy(), filters.flatten(1).numpy()),
        **dict(algorithm="lasso_lars", alpha=1 / 2.5),
    )
    assert 0.1 < (lars != 0).mean() < 0.9
    ours = codes.maps.flatten(1).numpy()
    np.testing.assert_allclose(ours, lars, atol=1e-6)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)  # its tolerance is its own


def test_patches_are_where_they_are_said_to_be():
    images = torch.arange(2 * 36, dtype=torch.float64).view(2, 1, 6, 6)
    patches = random_patches(images, 3, 200, seed=4)
    expected = images[0, :, :3, :3] - images[0, :, :3, :3].mean()
    torch.testing.assert_close(patches, expected.expand(200, 1, 3, 3))
    with pytest.raises(UsageError, match="filters of 7x7 pixels are larger than the images, 6x6"):
        random_patches(images, 7, 1)


def test_whitening():
    patches = random_patches(crops(10, 40), 6, 2000)
    white = whitening(patches, 1e-6)(patches).flatten(1).double()
    values = torch.linalg.eigvalsh(white.T @ white / len(white))
    assert (values[1:] - 1).abs().max() < 0.05 and values[0] < 0.05, "patches have no mean"
    smooth = whitening(patches, 1.0)(patches).flatten(1).double()
    assert torch.linalg.eigvalsh(smooth.T @ smooth / len(smooth))[0] < 0.05
    with pytest.raises(UsageError, match="--epsilon must be a number above 0"):
        whitening(patches, 0)


def test_a_planted_dictionary_of_patches_is_found():
    """Olshausen and Field's model: few of many causes in each patch."""
    planted = unit(12, 1, 4, 4).float()
    where = torch.rand(1500, 12, generator=torch.Generator().manual_seed(0)) < 0.12
    codes = where * normal(1500, 12, seed=1).float() * 3
    patches = (codes @ planted.flatten(1)).view(-1, 1, 4, 4)
    learned = learn_filters(patches, 14, 4, 10.0, rounds=60, padding=0).filters
    cosines = (planted.flatten(1) @ learned.flatten(1).T).abs()
    norms = learned.flatten(1).norm(dim=1)
    assert (cosines / norms).amax(1).min() > 0.98
