"""Walks: stops, seams, speed, labels, degenerate stops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.config.walk import WalkConfig
from dcgan.errors import UsageError
from dcgan.latent import lerp, slerp, uniform_slerp, walk, walk_in_blocks

EASINGS = ["linear", "constant-speed", "smoothstep"]


def on_circle(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def angles(path: torch.Tensor) -> list[float]:
    """Of points in the plane, in degrees from 0 to 360."""
    return (torch.atan2(path[:, 1], path[:, 0]).rad2deg() % 360).tolist()


def smoothstep(t: np.ndarray) -> np.ndarray:
    return 3 * t**2 - 2 * t**3


@pytest.mark.parametrize("easing", ["linear", "smoothstep"])
@settings(deadline=None)
@given(stops=st.integers(1, 9), per_leg=st.integers(1, 9), dim=st.integers(1, 5))
def test_a_walk_visits_every_stop_exactly(easing, stops, per_leg, dim):
    stops = torch.randn(stops, dim, generator=torch.manual_seed(stops))
    path = walk(stops, len(stops) * per_leg, easing=easing)
    assert torch.equal(path[::per_leg], stops)
    path = walk(stops, (len(stops) - 1) * per_leg + 1, closed=False, easing=easing)
    assert torch.equal(path[::per_leg], stops)


@pytest.mark.parametrize("easing", EASINGS)
@settings(deadline=None)
@given(count=st.integers(1, 9), frames=st.integers(1, 150))
def test_an_open_walk_starts_and_ends_at_stops(easing, count, frames):
    stops = torch.randn(count, 3, generator=torch.manual_seed(count))
    path = walk(stops, frames, closed=False, easing=easing)
    assert path.shape == (frames, 3)
    assert torch.equal(path[0], stops[0])
    if frames > 1:
        assert torch.equal(path[-1], stops[-1])


@pytest.mark.parametrize("easing", EASINGS)
def test_a_closed_walk_ends_one_step_before_its_start(easing):
    """Twice the frames visit the same points, and the step over the seam is a step like others."""
    stops = torch.randn(5, 20, dtype=torch.float64)
    path, finer = walk(stops, 35, easing=easing), walk(stops, 70, easing=easing)
    torch.testing.assert_close(finer[::2], path)
    # The walk from the next stop on is the same, turned by a leg.
    if easing != "constant-speed":
        turned = walk(stops.roll(-1, 0), 35, easing=easing)
        torch.testing.assert_close(turned, path.roll(-7, 0))


def test_equal_shares_have_constant_speed_within_a_leg():
    path = walk(on_circle(0, 90, 120), 7, closed=False)
    assert angles(path) == pytest.approx([0, 30, 60, 90, 100, 110, 120])


def test_constant_speed_turns_by_equal_angles_over_all_legs():
    options = dict(easing="constant-speed")
    path = walk(on_circle(0, 90, 120), 13, closed=False, **options)
    assert angles(path) == pytest.approx(range(0, 121, 10))
    path = walk(on_circle(0, 150, 210), 36, **options)
    assert angles(path) == pytest.approx(range(0, 360, 10), abs=1e-3)


@pytest.mark.parametrize("interpolate", [slerp, lerp, uniform_slerp])
@pytest.mark.parametrize("closed", [True, False])
def test_constant_speed_makes_steps_of_equal_length(interpolate, closed):
    """Also where stops differ in length, and for paths that are no circles."""
    stops = torch.rand(4, 10, generator=torch.manual_seed(0)) * torch.tensor(
        [[1], [0.2], [1], [0.5]]
    )
    options = dict(closed=closed, interpolate=interpolate)
    path = walk(stops, 2000, easing="constant-speed", **options)
    steps = torch.cat([path, path[:1]] if closed else [path]).diff(dim=0).norm(dim=1)
    corners = steps.sort().values[5:]  # a step around a corner is shorter
    assert corners.max() / corners.min() < 1.02
    linear = walk(stops, 2000, **options).diff(dim=0).norm(dim=1)
    assert linear.max() / linear.min() > 1.3


def test_smooth_stops_follow_smoothstep_and_rest_at_every_stop():
    frames = 3 * 1000
    found = np.array(angles(walk(on_circle(0, 90, 200), frames, easing="smoothstep")))
    t = np.arange(1000) / 1000
    legs = [0 + 90 * smoothstep(t), 90 + 110 * smoothstep(t), 200 + 160 * smoothstep(t)]
    np.testing.assert_allclose(found, np.concatenate(legs), atol=1e-6)
    speed = np.abs(np.diff(np.unwrap(found, period=360))) * 1000  # degrees a leg
    for stop in (0, 999, 1000, 1999, 2000, 2998):
        assert speed[stop] < 0.01 * 160
    assert speed[500] == pytest.approx(1.5 * 90, rel=1e-3)  # halfway, half as fast again


@pytest.mark.parametrize("easing", EASINGS)
@pytest.mark.parametrize("closed", [True, False])
def test_degenerate_stops(easing, closed):
    options = dict(easing=easing, closed=closed)
    stop = torch.randn(1, 6)
    assert torch.equal(walk(stop, 5, **options), stop.expand(5, 6))
    assert torch.equal(walk(stop.expand(2, 6), 5, **options), stop.expand(5, 6))
    assert torch.equal(walk(torch.zeros(3, 6), 5, **options), torch.zeros(5, 6))
    opposite = walk(torch.cat([stop, -stop]), 8, **options)
    torch.testing.assert_close(opposite.norm(dim=1), stop.norm().expand(8))
    cosines = torch.nn.functional.cosine_similarity(opposite, stop)
    shares = np.arange(8) / (4 if closed else 7)
    shares = np.where(shares > 1, 2 - shares, shares)
    expected = np.cos(math.pi * (smoothstep(shares) if easing == "smoothstep" else shares))
    torch.testing.assert_close(cosines, torch.tensor(expected).float(), atol=1e-5, rtol=0)


def test_constant_speed_passes_a_repeated_stop_without_a_pause():
    path = walk(on_circle(0, 60, 60, 120), 7, closed=False, easing="constant-speed")
    assert angles(path) == pytest.approx(range(0, 121, 20))


@pytest.mark.parametrize("interpolate", [slerp, uniform_slerp])
def test_a_walk_interpolates_labels_linearly(interpolate):
    stops = torch.tensor([[0.6, 0.0, 1.0, 0.0], [0.0, 0.6, 1.0, 1.0]])
    path = walk(stops, 4, latent_dim=2, interpolate=interpolate)
    torch.testing.assert_close(path[:, :2], walk(stops[:, :2], 4, interpolate=interpolate))
    assert path[:, 2:].tolist() == [[1, 0], [1, 0.5], [1, 1], [1, 0.5]]


def test_constant_speed_counts_labels_as_part_of_the_way():
    """One latent under two labels: the label changes at a speed of its own."""
    stops = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [3.0, 0.0, 1.0]])
    path = walk(stops, 4, latent_dim=2, closed=False, easing="constant-speed")
    torch.testing.assert_close(path[:, 0], torch.tensor([1.0, 1, 2, 3]))
    torch.testing.assert_close(path[:, 2], torch.tensor([0.0, 1, 1, 1]))


def test_blocks_are_the_rows_of_the_walk():
    stops = torch.randn(3, 16)
    blocks = list(walk_in_blocks(stops, 150, easing="smoothstep"))
    assert [len(block) for block in blocks] == [64, 64, 22]
    assert torch.equal(torch.cat(blocks), walk(stops, 150, easing="smoothstep"))


def test_lists_and_whole_numbers_are_stops_too():
    torch.testing.assert_close(walk([[3, 0], [0, 1]], 4)[1], torch.full((2,), 2 / 2**0.5))
    torch.testing.assert_close(walk(np.diag([3, 1]), 4)[1], torch.full((2,), 2 / 2**0.5))


def test_without_options_a_walk_is_that_of_the_command():
    stops = torch.randn(3, 5)
    config = WalkConfig()
    expected = walk(stops, 10, closed=config.closed, easing=config.easing)
    assert torch.equal(walk(stops, 10), expected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: walk(torch.zeros(3), 5), r"shape \[K, D\], K >= 1, not \[3\]"),
        (lambda: walk(torch.zeros(0, 3), 5), r"not \[0, 3\]"),
        (lambda: walk(torch.zeros(2, 3), 0), "at least 1 frame, not 0"),
        (lambda: walk(torch.zeros(2, 3), 5, easing="bounce"), "not 'bounce'"),
        (lambda: walk(torch.zeros(1, 3), 5, closed=False, easing="bounce"), "not 'bounce'"),
    ],
)
def test_wrong_arguments_are_usage_errors(call, words):
    with pytest.raises(UsageError, match=words):
        call()
