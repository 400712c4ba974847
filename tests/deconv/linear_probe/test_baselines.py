"""Random filters and principal components."""

import numpy as np
import pytest
import torch

from dcgan import images
from dcgan.deconv.linear_probe import fit_principal_components
from dcgan.deconv.untrained import build_discriminator
from dcgan.runs import load_discriminator
from dcgan.runs.checkpoint_folder import find_checkpoint
from tests.conftest import PLAIN, fit
from tests.deconv.linear_probe.sets import pack_attributes


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return pack_attributes(tmp_path_factory.mktemp("set") / "packed")


def test_the_untrained_network_has_the_options_of_the_trained_one(tmp_path, tiny, packed):
    options = PLAIN | dict(kernel_size=5, conditional=True)
    run = fit(tiny(steps=1, **options), packed, tmp_path / "run", torch.device("cpu"))
    D, found = load_discriminator(tmp_path / "run"), find_checkpoint(run)
    fresh, again = build_discriminator(found, 0), build_discriminator(found, 0)
    assert {k: v.shape for k, v in fresh.state_dict().items()} == {
        k: v.shape for k, v in D.state_dict().items()
    }
    kernel = "blocks.1.0.weight"
    assert torch.equal(fresh.state_dict()[kernel], again.state_dict()[kernel])
    assert not torch.equal(fresh.state_dict()[kernel], D.state_dict()[kernel])
    other = build_discriminator(found, 1).state_dict()[kernel]
    assert not torch.equal(fresh.state_dict()[kernel], other)


def test_principal_components_are_those_of_an_exact_decomposition(packed):
    indices = np.arange(280)
    x = images.to_float(torch.from_numpy(np.array(packed.images[indices])))
    pixels = x.flatten(1).double().numpy()
    _, values, rows = np.linalg.svd(pixels - pixels.mean(0), full_matrices=False)
    found = fit_principal_components(packed, indices)
    projected = found(x).double().numpy()
    assert projected.shape == (280, 256)
    np.testing.assert_allclose(projected.std(0)[:5], values[:5] / 280**0.5, rtol=1e-3)
    exact = (pixels - pixels.mean(0)) @ rows[:3].T
    for k in range(3):
        assert abs(np.corrcoef(exact[:, k], projected[:, k])[0, 1]) > 0.999
    kept = np.square(projected).sum() / np.square(pixels - pixels.mean(0)).sum()
    assert kept == pytest.approx((values[:256] ** 2).sum() / (values**2).sum(), abs=0.01)


def test_components_use_no_labels_and_follow_the_seed(packed):
    a, b = (fit_principal_components(packed, np.arange(300), seed=1).components for _ in range(2))
    assert torch.equal(a, b)


def test_there_are_no_more_components_than_images_or_pixels(packed):
    x = torch.randn(2, 3, 16, 16)
    assert fit_principal_components(packed, np.arange(7))(x).shape == (2, 7)
