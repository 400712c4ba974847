"""Proximal operators against searches and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.deconv.sparse_coding.penalties import PooledL1, PowerPenalty, UnitBalls, shrink
from dcgan.deconv.sparse_coding.pooling import Pool

POWERS = [0.1, 0.5, 2 / 3, 0.8, 0.99, 1.0]


def objective(x, v, step, p):
    return (x - v) ** 2 / 2 + step * np.abs(x) ** p


@settings(deadline=None, max_examples=60)
@given(st.floats(-6, 6), st.floats(1e-3, 20), st.sampled_from(POWERS))
def test_shrinkage_is_the_minimiser(v, step, p):
    found = shrink(torch.tensor([v], dtype=torch.float64), torch.tensor([step]).double(), p).item()
    # The minimiser lies between 0 and v; a fine grid cannot be better but by its spacing.
    grid = np.concatenate([np.linspace(0, v, 20_001), [0.0]])
    best = objective(grid, v, step, p).min()
    assert objective(found, v, step, p) <= best + 1e-9 * max(1, abs(best))


def test_shrinkage_with_the_power_of_one_half_is_a_root_of_a_cubic():
    """Krishnan and Fergus 2009, section 3: x + step / (2 sqrt x) = v, with u = sqrt x."""
    step = 0.3
    for v in (0.9, 1.5, 4.0, -2.0):
        roots = np.roots([1, 0, -abs(v), step / 2])
        u = max(r.real for r in roots if abs(r.imag) < 1e-9)
        found = shrink(*torch.tensor([[v], [step]], dtype=torch.float64), 0.5)
        assert found.item() == pytest.approx(np.sign(v) * u**2, abs=1e-10)


def test_shrinkage_jumps_at_its_threshold():
    """For p = 1/2 and a step of 1 the threshold is 3/2, where x jumps from 0 to 1."""
    v = torch.tensor([1.499, 1.501, -1.501]).double()
    found = shrink(v, torch.ones(1).double(), 0.5)
    assert found[0] == 0 and found[1] == pytest.approx(1, abs=5e-3) and found[2] == -found[1]
    soft = shrink(torch.tensor([0.9, 3.0, -3.0]), torch.ones(1), 1.0)
    assert soft.tolist() == [0, 2, -2]


def test_the_value_of_the_penalty():
    x = torch.tensor([[[[4.0, 0.0], [-9.0, 1.0]]]])
    assert PowerPenalty(0.5).value(x).item() == 6
    assert PowerPenalty(1).value(x).item() == 14


def test_one_value_of_each_region_remains_and_it_is_the_best_one():
    v = torch.tensor([[[[3.0, -4.0], [0.5, 0.2]], [[1.0, 0.0], [0.0, 2.0]]]])
    step = torch.full((1, 1, 1, 1), 0.5)
    penalty = PooledL1(Pool(maps=2, extent=2))
    found = penalty.prox(v, step)
    expected = torch.zeros_like(v)
    expected[0, 0, 0, 1] = -3.5
    assert torch.equal(found, expected)

    def cost(x):
        return ((x - v).square().sum() / 2 + 0.5 * x.abs().sum()).item()

    for i in range(8):  # the best value at each place
        other = torch.zeros(8)
        other[i] = shrink(v.flatten()[i : i + 1], torch.tensor(0.5), 1.0)
        assert cost(other.view_as(v)) >= cost(found)


def test_filters_are_projected_onto_balls():
    filters = torch.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]]).view(3, 2, 1, 1)
    balls = UnitBalls()
    found = balls.project(filters).flatten(1)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.6, 0.8]]))
    connectivity = torch.tensor([[1, 0], [1, 1], [0, 1]]).float()
    masked = UnitBalls(connectivity).project(filters).flatten(1)
    torch.testing.assert_close(masked, torch.tensor([[1.0, 0.0], [0.3, 0.4], [0.0, 1.0]]))
