"""Precision, recall, density and coverage: brute force, torch-fidelity, and their meaning."""

import numpy as np
import pytest
import torch

from dcgan.evaluation import pairwise
from dcgan.evaluation.precision_recall import (
    Manifold,
    density_and_coverage,
    precision_and_recall,
)
from tests.evaluation.features import normal


@pytest.mark.parametrize("elements", [1, 100, 2**24])
def test_balls_are_those_of_brute_force(monkeypatch, elements):
    monkeypatch.setattr(pairwise, "_MAX_BLOCK_ELEMENTS", elements)
    real, fake = normal(23, 5, 8), normal(31, 5, 9, scale=1.2)
    distances = np.linalg.norm(real.numpy()[:, None] - real.numpy(), axis=2)
    radii = np.sort(distances, axis=1)[:, 3]
    inside = np.linalg.norm(fake.numpy()[:, None] - real.numpy(), axis=2) <= radii
    manifold = Manifold(real, 3)
    np.testing.assert_allclose(manifold.squared_radii.sqrt(), radii)
    balls_per_point, points_per_ball = manifold.count_hits(fake)
    np.testing.assert_array_equal(balls_per_point, inside.sum(1))
    np.testing.assert_array_equal(points_per_ball, inside.sum(0))
    precision, _ = precision_and_recall(manifold, Manifold(fake, 3))
    assert precision == inside.any(1).mean()
    density, coverage = density_and_coverage(manifold, fake)
    assert density == pytest.approx(inside.sum() / (3 * 31))
    assert coverage == inside.any(0).mean()


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.5, 0.0), (2.0, 0.0), (1.0, 1.0)])
def test_precision_and_recall_equal_those_of_torch_fidelity(scale, shift):
    metric_prc = pytest.importorskip("torch_fidelity.metric_prc")
    real, fake = normal(120, 6, 20), normal(90, 6, 21, scale, shift)
    found = metric_prc.prc_features_to_metric(
        fake, real, prc_neighborhood=3, prc_batch_size=50, save_cpu_ram=True, verbose=False
    )
    expected = found["precision"], found["recall"]
    assert 0 < expected[0] < 1 or 0 < expected[1] < 1, "the test must see something"
    assert precision_and_recall(Manifold(real, 3), Manifold(fake, 3)) == pytest.approx(expected)


def test_a_tight_cluster_is_precise_and_a_wide_spread_is_varied():
    wide, tight = normal(500, 8, 10), normal(500, 8, 11, scale=0.2)
    precision, recall = precision_and_recall(Manifold(wide, 3), Manifold(tight, 3))
    assert precision > 0.95 and recall < 0.05
    precision, recall = precision_and_recall(Manifold(tight, 3), Manifold(wide, 3))
    assert precision < 0.05 and recall > 0.95


def test_sets_of_the_same_distribution_have_density_1_and_high_coverage():
    real, fake = normal(1500, 8, 12), normal(1500, 8, 13)
    precision, recall = precision_and_recall(Manifold(real, 3), Manifold(fake, 3))
    density, coverage = density_and_coverage(Manifold(real, 5), fake)
    assert precision > 0.7 and recall > 0.7
    assert precision == pytest.approx(recall, abs=0.1)
    assert density == pytest.approx(1, abs=0.1)
    # Of the 5 + 1 nearest among 2N points the fake ones are one half: 1 - 1/2^5 (Naeem, eq. 9).
    assert coverage == pytest.approx(1 - 1 / 2**5, abs=0.02)


def test_dropped_modes_lower_recall_and_coverage():
    modes = torch.eye(10).double() * 30
    real = normal(1000, 10, 14) + modes.repeat(100, 1)
    values = []
    for kept in (10, 6, 2):
        fake = normal(1000, 10, 15) + modes[torch.arange(1000) % kept]
        _, recall = precision_and_recall(Manifold(real, 3), Manifold(fake, 3))
        density, coverage = density_and_coverage(Manifold(real, 5), fake)
        assert density > 0.9, "the images of the modes that are kept are good"
        values.append((recall, coverage))
    for all_modes, six_modes, two_modes in zip(*values, strict=True):
        assert all_modes > 0.7
        assert six_modes == pytest.approx(0.6 * all_modes, abs=0.1)
        assert two_modes == pytest.approx(0.2 * all_modes, abs=0.1)


def test_outliers_among_the_fake_images_raise_recall_but_not_coverage():
    real, fake = normal(300, 6, 16), normal(300, 6, 17, scale=0.01, shift=20)
    outliers = torch.cat([fake[:-4], fake[-4:] + torch.tensor([[30.0], [-60], [60], [-90]])])
    assert precision_and_recall(Manifold(real, 3), Manifold(fake, 3))[1] == 0
    assert precision_and_recall(Manifold(real, 3), Manifold(outliers, 3))[1] > 0.9
    assert density_and_coverage(Manifold(real, 5), outliers) == (0, 0)


def test_a_large_common_offset_does_not_change_the_scores():
    """Its square, 1e8, would take all digits of a float32."""
    real, fake = normal(200, 6, 18), normal(200, 6, 19)
    expected = precision_and_recall(Manifold(real, 3), Manifold(fake, 3))
    assert precision_and_recall(Manifold(real + 1e4, 3), Manifold(fake + 1e4, 3)) == expected
    assert precision_and_recall(Manifold(real + 1e4, 3), Manifold(fake, 3)) == (0, 0)


@pytest.mark.parametrize("shape", [(3, 4), (5,)])
def test_too_few_features_are_refused(shape):
    with pytest.raises(ValueError, match=r"must be \[N, F\] with N >= 4"):
        Manifold(torch.zeros(shape), 3)


def test_copies_lie_in_balls_of_radius_0():
    """With six copies of every image the third neighbour is at 0, and rounding must not matter."""
    real = normal(101, 64, 11, shift=3).repeat(6, 1)
    fake = real[torch.randperm(len(real), generator=torch.Generator().manual_seed(0))[:203]]
    assert not Manifold(real, 5).squared_radii.any()
    precision, _ = precision_and_recall(Manifold(real, 3), Manifold(fake, 3))
    density, coverage = density_and_coverage(Manifold(real, 5), fake)
    covered = (torch.cdist(real, fake).amin(1) < 1e-6).double().mean()
    assert precision == 1
    assert density == pytest.approx(6 / 5)
    assert coverage == pytest.approx(float(covered))


def test_small_distances_are_not_rounded_to_0():
    x = normal(5, 64, 12, shift=3)
    distances = pairwise.squared_distances(x, x + 1e-6).diagonal().sqrt()
    torch.testing.assert_close(distances, torch.full((5,), 8e-6).double(), rtol=0.05, atol=0)


def test_squared_distances_are_those_of_torch():
    x, y = normal(9, 5, 22, shift=2), normal(7, 5, 23)
    torch.testing.assert_close(pairwise.squared_distances(x, y), torch.cdist(x, y).square())
