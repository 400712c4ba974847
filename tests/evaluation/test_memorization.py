"""The copying test: a G that copies is found out, and an honest one is not."""

import numpy as np
import pytest
import scipy.stats
import torch

from dcgan.data import faces
from dcgan.evaluation.memorization import (
    _nearest_rows,
    copying_test,
    find_copies,
    pixel_features,
)
from dcgan.evaluation.random_features import RandomFeatures

CPU = torch.device("cpu")


def test_the_score_and_z_are_scipys_mann_whitney_statistic():
    rng = np.random.default_rng(0)
    samples, held_out = rng.integers(0, 30, 80) / 1.0, rng.integers(0, 25, 50) / 1.0
    found = copying_test(torch.from_numpy(samples), torch.from_numpy(held_out))
    u = scipy.stats.mannwhitneyu(held_out, samples).statistic  # pairs where held_out is larger
    assert found.score == pytest.approx(u / 4000)
    assert found.z == pytest.approx((u - 2000) / np.sqrt(4000 * 131 / 12))


def test_copies_are_samples_closer_than_99_percent_of_the_held_out_images():
    held_out = torch.linspace(1, 2, 101)  # 1 % quantile: 1.01
    samples = torch.tensor([0.5, 1.005, 1.015, 1.5])
    assert copying_test(samples, held_out).copies == 0.5


def test_copies_among_the_held_out_images_hide_no_copier():
    held_out = torch.cat([torch.zeros(3), torch.linspace(1, 2, 97)])
    assert copying_test(torch.zeros(50), held_out).copies == 1
    assert copying_test(torch.full((50,), 1.5), held_out).copies == 0
    assert copying_test(torch.zeros(50), torch.zeros(20)).copies == 0


@pytest.mark.parametrize("chunk", [1, 4, 40])
def test_nearest_rows_are_those_of_a_sort(chunk):
    rng = np.random.default_rng(1)
    queries, rows = (torch.from_numpy(rng.normal(size=(n, 5))) for n in (7, 40))
    distances, indices = _nearest_rows(queries, rows.split(chunk))
    expected = torch.cdist(queries, rows).sort(1)
    torch.testing.assert_close(distances.double(), expected.values[:, :3])
    assert torch.equal(indices, expected.indices[:, :3])


@pytest.fixture(scope="module")
def face_sets():
    """900 faces of one distribution: training images, held-out ones, and new ones."""
    images = faces.render(range(900), 32).images.numpy()
    return images[:500], images[500:700], images[700:]


@pytest.mark.parametrize("extractor", [pixel_features, RandomFeatures()], ids=["pixels", "random"])
def test_a_copier_is_found_out_and_an_honest_generator_is_not(face_sets, extractor):
    training, held_out, new = face_sets

    def read_training():
        return iter([training[:300], training[300:]])

    def find(samples):
        return find_copies(samples, held_out, read_training, extractor, CPU)

    honest, _, _ = find(new)
    assert abs(honest.z) < 3 and honest.copies < 0.06

    rng = np.random.default_rng(2)
    noise = rng.integers(-3, 4, (200, 32, 32, 3))
    copied = (training[100:300].astype(int) + noise).clip(0, 255).astype(np.uint8)
    test, distances, indices = find(copied)
    assert test.score > 0.95 and test.z > 10 and test.copies > 0.9
    assert (indices[:, 0].numpy() == np.arange(100, 300)).all()
    assert (distances[:, 0] < distances[:, 1]).all()

    mixed, _, _ = find(np.concatenate([new[:160], copied[:40]]))
    assert 0.19 < mixed.copies < 0.27, "a fifth of copies is seen among honest images"


def test_pixels_are_scaled_to_minus_one_to_one():
    images = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8).expand(1, 1, 2, 2)
    assert pixel_features(images).tolist() == [[-1, 1, 1, -1]]


def test_large_images_are_averaged_to_64_pixels():
    blocks = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    large = blocks.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(pixel_features(large), pixel_features(blocks))


def test_few_large_images_are_in_memory_at_a_time():
    seen = []

    def extract(images):
        seen.append(images.shape)
        return images[:, :, :4, :4].float().flatten(1)

    images = np.random.default_rng(0).integers(256, size=(40, 128, 128, 3), dtype=np.uint8)
    _, distances, indices = find_copies(images, images, lambda: iter([images]), extract, CPU)
    assert indices[:, 0].tolist() == list(range(40)) and not distances[:, 0].any()
    assert max(seen) == (16, 3, 128, 128)
