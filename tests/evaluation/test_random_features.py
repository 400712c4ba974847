"""Random features rank degradations of drawn faces as they should be ranked."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from dcgan.data import faces
from dcgan.evaluation import (
    Manifold,
    RandomFeatures,
    density_and_coverage,
    extract_features,
    fit_gaussian,
    frechet_distance,
    precision_and_recall,
)
from dcgan.evaluation.random_features import _orthogonal_kernel

CPU = torch.device("cpu")
COUNT = 200


@pytest.fixture(scope="module")
def drawn():
    """Features of 200 faces, and 200 others, float64 [200, 3, 64, 64] in 0..255."""
    images = faces.render(range(2 * COUNT), 64).images.numpy()
    images = np.moveaxis(images, 3, 1).astype(np.float64)
    return features_of(images[:COUNT]), images[COUNT:]


def features_of(images):
    rounded = images.round().clip(0, 255).astype(np.uint8)
    return RandomFeatures()(torch.from_numpy(rounded))


def checkerboard(side):
    return np.indices((side, side)).sum(0) % 2 * 2 - 1


NOISE = np.random.default_rng(0).normal(size=(COUNT, 3, 64, 64))
DEGRADATIONS = {
    "noise": ([0, 8, 16, 32], lambda images, s: images + s * NOISE),
    "blur": ([0, 0.5, 1, 2], lambda images, s: scipy.ndimage.gaussian_filter(images, (0, 0, s, s))),
    "colour": ([0, 8, 16, 32], lambda images, s: images + s * np.array([1, -1, 0])[:, None, None]),
    "checkerboard": ([0, 3, 6, 12], lambda images, s: images + s * checkerboard(64)),
    "few images": ([1, 4, 16, 64], lambda images, s: images[np.arange(COUNT) % (COUNT // s)]),
}


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_distances_grow_with_the_strength_of_a_degradation(drawn, name):
    real, images = drawn
    strengths, degrade = DEGRADATIONS[name]
    fakes = [features_of(degrade(images, strength)) for strength in strengths]
    gaussian = fit_gaussian(real)
    frechet = [frechet_distance(gaussian, fit_gaussian(fake)) for fake in fakes]
    manifold = Manifold(real, 5)
    coverage = [density_and_coverage(manifold, fake)[1] for fake in fakes]
    assert frechet == sorted(frechet) and frechet[-1] > 3 * frechet[0], frechet
    assert coverage[0] > 0.9 and coverage[-1] < 0.6 * coverage[0], coverage


def test_dropped_modes_are_seen_in_coverage_and_not_in_precision(drawn):
    real, images = drawn
    darkest = np.argsort(images.mean((1, 2, 3)))
    kept = [features_of(images[darkest[: COUNT // s]].repeat(s, 0)) for s in (1, 2, 5)]
    coverage = [density_and_coverage(Manifold(real, 5), fake)[1] for fake in kept]
    assert coverage == sorted(coverage, reverse=True) and coverage[-1] < 0.5 * coverage[0]
    for fake in kept:
        third = Manifold(real, 3)
        assert precision_and_recall(third, Manifold(fake, 3))[0] > 0.8


def test_weights_are_the_same_everywhere():
    """Digits of another machine or version would make old numbers incomparable."""
    weights = torch.cat([kernel.flatten()[:2] for kernel in RandomFeatures().kernels])
    torch.testing.assert_close(weights, torch.tensor(EXPECTED), atol=1e-6, rtol=0)


EXPECTED = [0.1362596, 0.3468312, 0.1588716, 0.067795]
EXPECTED += [0.0623241, 0.0871871, 0.0836693, -0.0842465]


@pytest.mark.parametrize(("outputs", "inputs"), [(64, 3), (8, 16)])
def test_kernels_are_orthogonal_and_keep_the_size_of_activations(outputs, inputs):
    kernel = _orthogonal_kernel(np.random.default_rng(0), outputs, inputs).flatten(1).double()
    product = kernel.T @ kernel if outputs > 9 * inputs else kernel @ kernel.T
    scale = product[0, 0]
    torch.testing.assert_close(product, scale * torch.eye(len(product)).double(), atol=1e-5, rtol=0)
    mean_square = (torch.randn(4000, 9 * inputs).double() @ kernel.T).square().mean()
    assert mean_square == pytest.approx(2, rel=0.1), "of which a ReLU leaves half"


def test_features_do_not_depend_on_the_batch_or_its_layout():
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (70, 3, 16, 16), np.uint8))
    network = RandomFeatures()
    whole = network(images)
    assert whole.shape == (70, 704)
    torch.testing.assert_close(network(images[5:6]), whole[5:6], rtol=1e-5, atol=1e-5)
    chunks = [images[:3].permute(0, 2, 3, 1).numpy(), images[3:].permute(0, 2, 3, 1).numpy()]
    found = torch.cat(list(extract_features(network, chunks, CPU)))
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-5)


def test_grey_images_are_grey_colour_images():
    grey = np.random.default_rng(2).integers(0, 256, (5, 32, 32, 1), np.uint8)
    network = RandomFeatures()
    found, same = (list(extract_features(network, [x], CPU)) for x in (grey, grey.repeat(3, 3)))
    torch.testing.assert_close(found, same)


@pytest.mark.parametrize("size", [8, 256])
def test_every_size_has_the_same_number_of_features(size):
    assert RandomFeatures()(torch.zeros(2, 3, size, size, dtype=torch.uint8)).shape == (2, 704)
