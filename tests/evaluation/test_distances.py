"""Distances against closed forms, SciPy, brute force, and what they must mean."""

import numpy as np
import pytest
import scipy.linalg
import torch

from dcgan.evaluation import distances
from dcgan.evaluation.distances import Gaussian, Manifold, density_coverage, frechet, gaussian


def normal(n, dims, seed, scale=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, dims)) * scale + shift)


def test_a_gaussian_is_numpys_mean_and_covariance():
    x = normal(50, 7, 0, scale=np.arange(1, 8), shift=3)
    found = gaussian(x)
    np.testing.assert_allclose(found.mean, x.numpy().mean(0))
    np.testing.assert_allclose(found.covariance, np.cov(x.numpy(), rowvar=False))


def test_the_frechet_distance_of_commuting_gaussians_has_a_closed_form():
    """It is |m - n|^2 + sum of (s - t)^2 over the standard deviations along common axes."""
    s, t, shift = (
        torch.tensor([1.0, 2, 0.5]),
        torch.tensor([3.0, 0, 0.5]),
        torch.tensor([1.0, 0, 2]),
    )
    turn = torch.linalg.qr(normal(3, 3, 1)).Q
    real = Gaussian(torch.zeros(3).double(), turn @ torch.diag(s.double() ** 2) @ turn.T)
    fake = Gaussian(shift.double(), turn @ torch.diag(t.double() ** 2) @ turn.T)
    assert frechet(real, fake) == pytest.approx(5 + 4 + 4 + 0, abs=1e-6)
    assert frechet(fake, real) == pytest.approx(13, abs=1e-6)
    assert frechet(real, real) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("n", [12, 400], ids=["singular covariances", "full rank"])
def test_the_frechet_distance_is_that_of_scipys_root(n):
    real = normal(n, 30, 2) @ normal(30, 30, 3)
    fake = normal(n, 30, 4) @ normal(30, 30, 5) + 1
    (m, c), (p, d) = gaussian(real), gaussian(fake)
    # A little on the diagonal keeps SciPy's root defined, as pytorch-fid does it.
    root = scipy.linalg.sqrtm(
        (c + 1e-9 * torch.eye(30)).numpy() @ (d + 1e-9 * torch.eye(30)).numpy()
    )
    expected = float((m - p).square().sum() + c.trace() + d.trace()) - 2 * np.trace(root).real
    assert frechet(gaussian(real), gaussian(fake)) == pytest.approx(expected, rel=1e-4)


def brute_kernel(x, y):
    return np.array([[(np.dot(a, b) / len(a) + 1) ** 3 for b in y] for a in x])


def test_the_kernel_distance_leaves_out_pairs_of_a_feature_with_itself(monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", 17)
    x, y = normal(9, 4, 6).numpy(), normal(7, 4, 7, shift=0.5).numpy()
    xx, yy, xy = brute_kernel(x, x), brute_kernel(y, y), brute_kernel(x, y)
    off = ~np.eye(9, dtype=bool), ~np.eye(7, dtype=bool)
    expected = xx[off[0]].mean() + yy[off[1]].mean() - 2 * xy.mean()
    found = distances.kernel_distance(torch.from_numpy(x), torch.from_numpy(y))
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_kernel_distance_of_one_law_is_0_on_average():
    """The biased estimate would be above 0 every time."""
    values = [
        distances.kernel_distance(normal(60, 8, 2 * i), normal(40, 8, 2 * i + 1)) for i in range(60)
    ]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3.5 * error
    assert min(values) < 0


@pytest.mark.parametrize("block", [1, 100, 2**24])
def test_balls_are_those_of_brute_force(monkeypatch, block):
    monkeypatch.setattr(distances, "BLOCK", block)
    real, fake = normal(23, 5, 8), normal(31, 5, 9, scale=1.2)
    apart = np.linalg.norm(real.numpy()[:, None] - real.numpy(), axis=2)
    radii = np.sort(apart, axis=1)[:, 3]
    inside = np.linalg.norm(fake.numpy()[:, None] - real.numpy(), axis=2) <= radii
    manifold = Manifold(real, 3)
    np.testing.assert_allclose(manifold.radii.sqrt(), radii)
    of_points, of_balls = manifold.counts(fake)
    np.testing.assert_array_equal(of_points, inside.sum(1))
    np.testing.assert_array_equal(of_balls, inside.sum(0))
    precision, _ = distances.precision_recall(manifold, Manifold(fake, 3))
    assert precision == inside.any(1).mean()
    assert density_coverage(manifold, fake) == (
        pytest.approx(inside.sum() / (3 * 31)),
        inside.any(0).mean(),
    )


def test_a_tight_cluster_is_precise_and_a_wide_spread_is_varied():
    wide, tight = normal(500, 8, 10), normal(500, 8, 11, scale=0.2)
    precision, recall = distances.precision_recall(Manifold(wide, 3), Manifold(tight, 3))
    assert precision > 0.95 and recall < 0.05
    precision, recall = distances.precision_recall(Manifold(tight, 3), Manifold(wide, 3))
    assert precision < 0.05 and recall > 0.95


def test_one_law_has_density_1_and_high_everything():
    real, fake = normal(1500, 8, 12), normal(1500, 8, 13)
    precision, recall = distances.precision_recall(Manifold(real, 3), Manifold(fake, 3))
    density, coverage = density_coverage(Manifold(real, 5), fake)
    assert precision > 0.7 and recall > 0.7
    assert density == pytest.approx(1, abs=0.1)
    # Of the 5 + 1 nearest among 2N points the fake ones are one half: 1 - 1/2^5 (Naeem, eq. 9).
    assert coverage == pytest.approx(1 - 1 / 2**5, abs=0.02)


def test_dropped_modes_lower_recall_and_coverage():
    modes = torch.eye(10).double() * 30
    real = normal(1000, 10, 14) + modes.repeat(100, 1)
    values = []
    for kept in (10, 6, 2):
        fake = normal(1000, 10, 15) + modes[torch.arange(1000) % kept]
        _, recall = distances.precision_recall(Manifold(real, 3), Manifold(fake, 3))
        density, coverage = density_coverage(Manifold(real, 5), fake)
        assert density > 0.9, "the modes that are kept are good"
        values.append((recall, coverage))
    for all_of_them, some, few in zip(*values, strict=True):
        assert all_of_them > 0.7
        assert some == pytest.approx(0.6 * all_of_them, abs=0.1)
        assert few == pytest.approx(0.2 * all_of_them, abs=0.1)


def test_an_outlier_among_the_fake_images_buys_recall_but_no_coverage():
    real, fake = normal(300, 6, 16), normal(300, 6, 17, scale=0.01, shift=20)
    far = torch.cat([fake[:-4], fake[-4:] + torch.tensor([[30.0], [-60], [60], [-90]])])
    assert distances.precision_recall(Manifold(real, 3), Manifold(far, 3))[1] > 0.9
    assert density_coverage(Manifold(real, 5), far) == (0, 0)


def test_large_common_offsets_do_not_blur_the_distances():
    """Squares of 1e4 would take all digits of a float32."""
    real, fake = normal(200, 6, 18), normal(200, 6, 19)
    near = distances.precision_recall(Manifold(real, 3), Manifold(fake, 3))
    assert distances.precision_recall(Manifold(real + 1e4, 3), Manifold(fake + 1e4, 3)) == near


@pytest.mark.parametrize("shape", [(3, 4), (5,)])
def test_too_few_features_are_refused(shape):
    with pytest.raises(ValueError, match=r"must be \[N, F\] with N >= 4"):
        Manifold(torch.zeros(shape), 3)


def test_copies_lie_in_balls_of_no_radius():
    """Where every image is there six times its third neighbour is at 0, and rounding is not."""
    real = normal(101, 64, 11, shift=3).repeat(6, 1)
    fake = real[torch.randperm(len(real), generator=torch.Generator().manual_seed(0))[:203]]
    precision, _ = distances.precision_recall(Manifold(real, 3), Manifold(fake, 3))
    density, coverage = density_coverage(Manifold(real, 5), fake)
    covered = (torch.cdist(real, fake).amin(1) < 1e-6).double().mean()
    assert precision == 1
    assert density == pytest.approx(6 / 5)
    assert coverage == pytest.approx(float(covered))


def test_what_is_near_is_no_copy():
    x = normal(5, 64, 12, shift=3)
    found = distances.pairwise(x, x + 1e-6)
    assert (found.diagonal().sqrt() / 8e-6 - 1).abs().max() < 0.05
