"""Interpolation: ends, speed and length, degenerate vectors, distribution."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from dcgan.latent import interpolation_for, lerp, slerp, uniform_slerp

vectors = st.lists(st.floats(-5, 5, width=32), min_size=4, max_size=4).map(torch.tensor)


def test_arrays_lists_and_whole_numbers_are_latents_too():
    expected = slerp(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 1.0]), 0.5)
    torch.testing.assert_close(expected, torch.full((2,), 2 / 2**0.5))
    for a, b in (([3, 0], [0, 1]), (np.array([3, 0]), np.array([0, 1])), np.diag([3.0, 1.0])):
        torch.testing.assert_close(slerp(a, b, np.float32(0.5)).float(), expected)
        torch.testing.assert_close(lerp(a, b, 0.5).float(), torch.tensor([1.5, 0.5]))


@settings(deadline=None)
@given(vectors, vectors)
def test_paths_are_exact_at_both_ends(a, b):
    for path in (lerp, slerp):
        assert torch.equal(path(a, b, 0.0), a)
        assert torch.equal(path(a, b, 1.0), b)


@settings(deadline=None)
@given(vectors, vectors, st.floats(0, 1))
def test_slerp_is_finite_and_never_longer_than_its_ends(a, b, t):
    point = slerp(a, b, t)
    assert point.isfinite().all()
    assert point.norm() <= max(a.norm(), b.norm()) * (1 + 1e-4) + 1e-6


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0.01, math.pi - 0.01))
def test_slerp_has_constant_speed_and_linear_length(t, angle):
    a = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    b = torch.tensor([math.cos(angle), math.sin(angle), 0.0], dtype=torch.float64)
    expected = torch.tensor([math.cos(t * angle), math.sin(t * angle), 0.0], dtype=torch.float64)
    torch.testing.assert_close(slerp(a, b, t), expected)
    torch.testing.assert_close(slerp(a, 3 * b, t).norm().item(), 1 + 2 * t)


@pytest.mark.parametrize("nudge", [0.0, 1e-8, 1e-6, 1e-5, 1e-3])
def test_slerp_of_parallel_and_opposite_vectors_keeps_their_length(nudge):
    a = torch.nn.functional.normalize(torch.randn(100, generator=torch.manual_seed(0)), dim=0) * 10
    off = torch.nn.functional.normalize(torch.randn(100), dim=0) * nudge
    t = torch.linspace(0, 1, 21)[:, None]
    for b in (a + off, -a + off):
        path = slerp(a, b, t)
        torch.testing.assert_close(path.norm(dim=1), torch.full((21,), 10.0), atol=0.01, rtol=0)
        steps = path.diff(dim=0).norm(dim=1)
        assert steps.max() - steps.min() < 0.02


def test_slerp_of_tiny_and_of_one_dimensional_vectors():
    """The square of 1e-21 underflows in float32; one dimension has no great circle."""
    tiny, b = torch.tensor([1e-21, 0, 0, 0]), torch.tensor([-5.0, 0, 0, 0])
    assert slerp(tiny, b, 0.865).norm() <= 5
    torch.testing.assert_close(slerp(torch.tensor([1.0]), torch.tensor([-2.0]), 0.5).item(), -0.5)


components = st.floats(-1, 1, width=32)
cubes = st.lists(components, min_size=4, max_size=4).map(torch.tensor)


@settings(deadline=None)
@given(cubes, cubes, st.floats(0, 1))
def test_uniform_slerp_stays_in_the_cube_and_is_exact_at_its_ends(a, b, t):
    assert uniform_slerp(a, b, t).abs().max() <= 1
    assert torch.equal(uniform_slerp(a, b, 0.0), a)
    assert torch.equal(uniform_slerp(a, b, 1.0), b)
    torch.testing.assert_close(uniform_slerp(a, a, t), a)
    torch.testing.assert_close(uniform_slerp(b, a, 1 - t), uniform_slerp(a, b, t))


def test_only_uniform_slerp_keeps_the_distribution_of_uniform_latents():
    a, b = 2 * torch.rand(2, 500, 100, generator=torch.manual_seed(0)) - 1
    for t in (0.25, 0.5, 0.8):
        assert kstest((uniform_slerp(a, b, t).flatten() + 1) / 2, "uniform").statistic < 0.006
        assert kstest((lerp(a, b, t).flatten() + 1) / 2, "uniform").statistic > 0.05
        assert slerp(a, b, t).abs().max() > 1.1
    assert uniform_slerp(a, b, 0.5).var().item() == pytest.approx(1 / 3, rel=0.02)
    assert lerp(a, b, 0.5).var().item() == pytest.approx(1 / 6, rel=0.02)


def test_uniform_slerp_is_slerp_of_the_normal_quantiles():
    a, b = np.random.default_rng(0).uniform(-1, 1, (2, 5, 20))
    quantiles = slerp(norm.ppf((a + 1) / 2), norm.ppf((b + 1) / 2), 0.3)
    torch.testing.assert_close(uniform_slerp(a, b, 0.3), 2 * torch.tensor(norm.cdf(quantiles)) - 1)


def test_ends_outside_the_cube_are_reached_without_a_jump():
    """Vector arithmetic leaves the cube."""
    a, b = torch.tensor([2.0, 0.3, -1.0, 0.1]), torch.tensor([-0.4, -1.5, 0.2, 0.9])
    path = uniform_slerp(a, b, torch.linspace(0, 1, 2001)[:, None])
    assert torch.equal(path[0], a) and torch.equal(path[-1], b)
    assert path.diff(dim=0).abs().max() < 0.03


def test_the_interpolation_follows_the_distribution():
    assert interpolation_for("normal") is slerp
    assert interpolation_for("uniform") is uniform_slerp
