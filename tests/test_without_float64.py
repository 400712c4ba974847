"""Scores, sampling and training on devices that have no float64, such as Apple's GPUs."""

import sys

import numpy as np
import pytest
import torch

from dcgan import sampling
from dcgan.evaluation import (
    Comparison,
    Manifold,
    RandomFeatures,
    copying_test,
    density_and_coverage,
    fit_gaussian,
    frechet_distance,
    mean_pair_similarity,
    polynomial_mmd,
    precision_and_recall,
    pyramid_distances,
)
from dcgan.evaluation.memorization import find_copies, pixel_features
from dcgan.networks import Generator, strided_convolution
from dcgan.training import kernel_smoothing
from dcgan.training.batches import BatchLoader
from dcgan.training.trainer import Trainer
from tests.without_float64 import DEVICE, WithoutFloat64

FEATURES = [torch.randn(n, 6, generator=torch.Generator().manual_seed(n)) for n in (40, 30)]
IMAGES = [
    np.random.default_rng(n).integers(256, size=(n, 32, 32, 3), dtype=np.uint8) for n in (40, 30)
]


def maps(images):
    return torch.from_numpy(images[:30]).permute(0, 3, 1, 2)


def copies_of(device, extractor):
    test, distances, indices = find_copies(
        IMAGES[0], IMAGES[1], lambda: iter([IMAGES[1][10:], IMAGES[0][5:9]]), extractor, device
    )
    return [*test, *distances.cpu().flatten().tolist(), *indices.cpu().flatten().tolist()]


SCORES = {
    "frechet": lambda x, y: frechet_distance(fit_gaussian(x), fit_gaussian(y)),
    "kernel": polynomial_mmd,
    "precision and recall": lambda x, y: precision_and_recall(Manifold(x, 3), Manifold(y, 3)),
    "density and coverage": lambda x, y: density_and_coverage(Manifold(x, 5), y),
    "copying": lambda x, y: copying_test(x[:, 0].abs(), y[:, 0].abs()),
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_of_features_are_those_of_the_cpu(name):
    score = SCORES[name]
    with WithoutFloat64():
        found = score(*(x.to(DEVICE) for x in FEATURES))
    assert found == pytest.approx(score(*FEATURES), rel=1e-6)


@pytest.mark.parametrize("score", [pyramid_distances, lambda x, _: mean_pair_similarity(x)])
def test_scores_of_pixels_are_those_of_the_cpu(score):
    images = [maps(x) for x in IMAGES]
    with WithoutFloat64():
        found = score(*(x.to(DEVICE) for x in images))
    assert found == pytest.approx(score(*images), rel=1e-6)


def test_all_scores_of_a_comparison_are_those_of_the_cpu():
    expected = Comparison([IMAGES[0]], RandomFeatures(), torch.device("cpu"), 30).scores(
        [IMAGES[1]]
    )
    with WithoutFloat64():
        comparison = Comparison([IMAGES[0]], RandomFeatures().to(DEVICE), DEVICE, 30)
        assert comparison.scores([IMAGES[1]]) == pytest.approx(expected, rel=1e-5)


def test_copies_are_found_as_on_the_cpu():
    expected = copies_of(torch.device("cpu"), pixel_features)
    with WithoutFloat64():
        assert copies_of(DEVICE, pixel_features) == pytest.approx(expected, rel=1e-5)


def test_images_are_sampled_and_statistics_measured_as_on_the_cpu(monkeypatch):
    monkeypatch.setattr(strided_convolution, "MEASURED_TYPES", {})  # ways to compute on CPUs alone
    torch.manual_seed(0)
    G = Generator(128, width=2, latent_dim=5)
    sampling.recalibrate_batch_norm(G, 64)
    (expected,) = sampling.sample(G, range(6), truncation=0.8, precision="fp32")
    with WithoutFloat64():
        G = G.to(DEVICE)
        sampling.recalibrate_batch_norm(G, 64)
        (found,) = sampling.sample(G, range(6), truncation=0.8)
    np.testing.assert_array_equal(found, expected)


def test_training_goes_on_as_on_the_cpu(tiny, packed, monkeypatch):
    """Augmentation, penalties, clipping, Adam, smoothing, averages, diagnostics."""
    config = tiny(
        precision="fp32", augment_p=0.5, clip=1.5, gradient_penalty=1.0, r1=1.0, accumulate=2
    )
    adam = sys.modules[torch.optim.Optimizer.__module__]  # fused on Apple's GPUs too
    monkeypatch.setattr(adam, "_get_fused_kernels_supported_devices", lambda: ["cpu", DEVICE.type])
    kernel_smoothing._smoothing_matrix.cache_clear()

    def scalars_of_steps(device):
        trainer = Trainer(config, device)
        loader = BatchLoader(packed.images, config, device)
        for step in range(2):
            scalars = trainer.update(loader.at(step)) | trainer.weight_diagnostics()
            yield {name: float(scalar) for name, scalar in scalars.items()}

    with WithoutFloat64():
        first, second = scalars_of_steps(DEVICE)
    expected, _ = scalars_of_steps(torch.device("cpu"))
    for name in ("loss_D", "D_real", "D_fake", "grad_norm_D", "overfitting", "diversity"):
        assert first[name] == pytest.approx(expected[name], rel=1e-5), name
    assert np.isfinite([*second.values()]).all()
    kernel_smoothing._smoothing_matrix.cache_clear()
