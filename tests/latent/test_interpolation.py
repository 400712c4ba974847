"""Paths between latents: ends, speed and length, degenerate vectors, labels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.latent import lerp, slerp, walk

vectors = st.lists(st.floats(-5, 5, width=32), min_size=4, max_size=4).map(torch.tensor)


def test_arrays_lists_and_whole_numbers_are_latents_too():
    expected = slerp(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 1.0]), 0.5)
    torch.testing.assert_close(expected, torch.full((2,), 2 / 2**0.5))
    for a, b in (([3, 0], [0, 1]), (np.array([3, 0]), np.array([0, 1])), np.diag([3.0, 1.0])):
        torch.testing.assert_close(slerp(a, b, np.float32(0.5)).float(), expected)
        torch.testing.assert_close(lerp(a, b, 0.5).float(), torch.tensor([1.5, 0.5]))
        stops = walk(np.stack([a, b]), 4)
        torch.testing.assert_close(stops[1].float(), expected)


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


def test_a_walk_visits_every_stop_and_returns():
    stops = torch.randn(3, 50)
    path = walk(stops, 12)
    torch.testing.assert_close(path[[0, 4, 8]], stops)
    steps = torch.cat([path, path[:1]]).diff(dim=0).norm(dim=1)
    assert steps.max() < 4 * steps.min()


def test_a_walk_interpolates_labels_linearly():
    stops = torch.tensor([[3.0, 0.0, 1.0, 0.0], [0.0, 3.0, 1.0, 1.0]])
    path = walk(stops, 4, latent_dim=2)
    torch.testing.assert_close(path[:, :2], walk(stops[:, :2], 4))
    assert path[:, 2:].tolist() == [[1, 0], [1, 0.5], [1, 1], [1, 0.5]]
