"""Vector arithmetic on latents."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dcgan import latent
from dcgan.errors import UsageError


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def test_operands_are_means_that_are_added_and_subtracted():
    man_with_glasses = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    man, woman = torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 5.0], [0.0, 6.0], [3.0, 10.0]])
    result = latent.add_and_subtract([man_with_glasses, woman], [man])
    torch.testing.assert_close(result, torch.tensor([2.0 - 1 + 1, 3.0 - 1 + 7]))


def test_means_of_three_in_a_sum_of_three_are_as_long_as_one_latent():
    """Which is why the arithmetic of the paper stays where G has been trained."""
    operands = [normal(3, 10_000, seed=i) for i in range(3)]
    result = latent.add_and_subtract(operands[:2], operands[2:])
    assert result.norm() / math.sqrt(10_000) == pytest.approx(1, abs=0.03)


def test_nothing_to_add_is_refused():
    with pytest.raises(UsageError, match="needs an operand to add: give --plus"):
        latent.add_and_subtract([], [normal(3, 4)])


@given(st.floats(0.01, 100), st.sampled_from(["normal", "uniform"]))
def test_the_typical_latent_is_the_nearest_of_those_in_training(scale, distribution):
    z = scale * normal(5, 8)
    typical = latent.to_typical(z, 8, distribution)
    if distribution == "uniform":
        assert torch.equal(typical, z.clamp(-1, 1))
        return
    for before, after in zip(z, typical, strict=True):
        length = min(max(before.norm().item(), 8**0.5 - 2**0.5), 8**0.5 + 2**0.5)
        assert after.norm().item() == pytest.approx(length, rel=1e-5)
        assert torch.cosine_similarity(before, after, dim=0) == pytest.approx(1, abs=1e-6)


def test_nearly_all_latents_are_typical():
    z = normal(4000, 64)
    moved = (latent.to_typical(z, 64, "normal") - z).norm(dim=1) > 1e-5
    assert moved.float().mean().item() == pytest.approx(0.0455, abs=0.015)
    assert torch.equal(latent.to_typical(torch.zeros(1, 64), 64, "normal"), torch.zeros(1, 64))


def test_labels_stay_between_0_and_1_and_do_not_count_as_noise():
    z = torch.tensor([[6.0, 8.0, 2.0, -1.0, 0.5]])
    expected = torch.tensor([[0.6 * 2 * 2**0.5, 0.8 * 2 * 2**0.5, 1, 0, 0.5]])
    torch.testing.assert_close(latent.to_typical(z, 2, "normal"), expected)


def test_neighbours_differ_by_uniform_noise_in_the_latent_alone():
    z = normal(2000 + 3)
    near = latent.neighbours(z, 2000)
    assert near.shape == (8, 2003)
    assert torch.equal(near[:, 2000:], z[2000:].expand(8, 3))
    noise = near[:, :2000] - z[:2000]
    assert noise.abs().max() <= 0.25 + 1e-6
    # A uniform variable of +-0.25 has a standard deviation of 0.25 / sqrt(3).
    assert noise.std().item() == pytest.approx(0.25 / math.sqrt(3), rel=0.02)
    assert (noise.corrcoef() - torch.eye(8)).abs().max() < 0.1
    torch.testing.assert_close(latent.neighbours(z + 1, 2000)[:, :2000] - z[:2000] - 1, noise)
