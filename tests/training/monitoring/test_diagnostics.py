"""Diagnostics against plain formulas, and against what training does to the weights."""

import copy

import numpy as np
import pytest
import torch

from dcgan.training.batches import BatchLoader
from dcgan.training.monitoring import diagnostics
from dcgan.training.monitoring.health import HEALTH_RULES
from dcgan.training.trainer import Trainer

CPU = torch.device("cpu")


def pictures(count, seed=0, size=32):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, size, size, generator=generator) * 1.9 - 0.95


def test_distances_are_over_all_pairs_of_different_images():
    x = pictures(7)
    small = x.double().unflatten(2, (8, 4)).unflatten(4, (8, 4)).mean((3, 5)).flatten(1).numpy()
    between = np.linalg.norm(small[:, None] - small[None], axis=2)
    others = between[~np.eye(7, dtype=bool)].reshape(7, 6)
    spread, nearest = diagnostics._distances(x)
    assert float(spread) == pytest.approx(np.sqrt((others**2).mean()), rel=1e-5)
    assert float(nearest) == pytest.approx(others.min(1).mean(), rel=1e-5)


def test_diversity_and_nearest_of_equal_repeated_and_different_images():
    real, fake = pictures(32), pictures(32, seed=1)
    alike = diagnostics.image_diagnostics(real, fake)
    assert 0.95 < float(alike["diversity"]) < 1.05
    assert 0.95 < float(alike["nearest"]) < 1.05
    one = diagnostics.image_diagnostics(real, fake[:1].expand(32, -1, -1, -1))
    assert float(one["diversity"]) == float(one["nearest"]) == 0
    few = diagnostics.image_diagnostics(real, fake[torch.arange(32) % 4])
    assert float(few["diversity"]) > 0.8, "the four images are far from each other"
    assert float(few["nearest"]) == 0


def test_equal_reals_give_finite_diagnostics():
    found = diagnostics.image_diagnostics(torch.zeros(4, 1, 8, 8), pictures(4, size=8)[:, :1])
    assert list(found) == ["saturated_real", "saturated_fake", "diversity", "nearest"]
    for value in found.values():
        assert value.isfinite()


def test_a_single_image_has_no_distances():
    found = diagnostics.image_diagnostics(pictures(1), torch.ones(1, 3, 32, 32))
    assert {name: float(v) for name, v in found.items()} == {
        "saturated_real": 0.0,
        "saturated_fake": 1.0,
    }


def test_saturation_counts_both_ends_of_the_range():
    fake = torch.tensor([1.0, -1.0, 0.995, 0.98]).repeat_interleave(3)  # rows of 12
    found = diagnostics.image_diagnostics(torch.zeros(2, 1, 12, 12), fake.expand(2, 1, 12, 12))
    assert (float(found["saturated_fake"]), float(found["saturated_real"])) == (0.75, 0)


def test_half_of_a_saturated_checkerboard_is_counted():
    board = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(16, 16).expand(2, 1, 32, 32)
    found = diagnostics.image_diagnostics(torch.zeros(2, 1, 32, 32), board)
    assert float(found["saturated_fake"]) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("beta1", [0.0, 0.5])
@pytest.mark.parametrize("smooth", [False, True])
def test_weight_diagnostics_equal_the_changes_of_the_weights(tiny, packed, beta1, smooth):
    ours = Trainer(tiny(beta1=beta1, smooth=smooth, lr_G=1e-2, lr_D=3e-3), CPU)
    for step, batch in zip(range(3), BatchLoader(packed.images, ours.config, CPU).starting_at(0)):  # noqa: B905
        before = {"G": copy.deepcopy(ours.G), "D": copy.deepcopy(ours.D)}
        ours.update(batch)
        signs = ours.weight_diagnostics()

        def flat(network):
            return torch.cat([p.detach().double().flatten() for p in network.parameters()])

        for name, network in (("G", ours.G), ("D", ours.D)):
            moved = (flat(network) - flat(before[name])).norm() / flat(network).norm()
            assert float(signs[f"update_{name}"]) == pytest.approx(float(moved), rel=1e-3), step
        apart = (flat(ours.G_ema) - flat(ours.G)).norm() / flat(ours.G).norm()
        assert float(signs["ema_distance"]) == pytest.approx(float(apart), rel=1e-4)


def test_eight_images_repeated_in_batches_of_16_are_few():
    """In the mean over many batches, as the log has it."""
    kinds = torch.Generator().manual_seed(0)
    found = []
    for seed in range(60):
        pick = torch.randint(8, (16,), generator=kinds)
        found.append(diagnostics.image_diagnostics(pictures(16, seed), pictures(8, 1000)[pick]))
    nearest, diversity = (
        float(torch.stack([one[name] for one in found]).mean()) for name in ("nearest", "diversity")
    )
    assert nearest < 0.2 and diversity > 0.8
    assert HEALTH_RULES["G makes few images"].condition(
        {"nearest": nearest, "diversity": diversity}
    )


def test_reals_that_repeat_have_a_floor_for_their_nearest_distance():
    """A tenth of the root-mean-square distance of their pairs: half of the 16 are equal."""
    real, fake = pictures(2)[torch.arange(16) % 2], pictures(16, seed=1)
    spread, nearest = diagnostics._distances(real, fake)
    assert float(nearest[0]) == 0
    found = diagnostics.image_diagnostics(real, fake)
    assert float(found["nearest"]) == pytest.approx(float(10 * nearest[1] / spread[0]), rel=1e-5)
