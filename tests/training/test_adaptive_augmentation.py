"""The control of the probability of augmentations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.config import TrainConfig
from dcgan.training.adaptive_augmentation import (
    _ADAPTIVE_BELOW,
    _MAX_PROBABILITY,
    OVERFITTING_TARGET,
    overfitting_heuristic,
    resolve_probability,
    updated_probability,
)
from dcgan.training.memorization import Memorization

logits = st.lists(st.integers(-50, 50), min_size=1, max_size=8).map(
    lambda values: torch.tensor(values, dtype=torch.float32)
)


@settings(deadline=None, max_examples=40)
@given(logits, logits, st.integers(-50, 50))
def test_the_overfitting_heuristic_ignores_shift_and_scale_of_the_logits(real, fake, shift):
    measure = overfitting_heuristic(real, fake)
    assert -1 <= measure <= 1
    assert overfitting_heuristic(real + shift, fake + shift) == measure
    assert overfitting_heuristic(8 * real, 8 * fake) == measure


def test_the_overfitting_heuristic_is_1_when_D_separates_and_0_when_it_guesses():
    torch.manual_seed(0)
    noise = torch.randn(2, 20_000)
    assert overfitting_heuristic(noise[0] + 100, noise[1] + 80) == 1
    assert overfitting_heuristic(noise[0] - 100, noise[1] - 80) == -1
    assert abs(overfitting_heuristic(noise[0] + 5, noise[1] + 5)) < 0.03
    assert overfitting_heuristic(torch.ones(4), torch.ones(4)) == 0


def test_the_overfitting_heuristic_of_a_balanced_D_is_that_of_ADA():
    """Karras et al. 2020: mean sign of the real logits."""
    torch.manual_seed(0)
    for distance in (0.5, 0.8416, 2.0):
        real, fake = torch.randn(50_000) + distance, torch.randn(50_000) - distance
        torch.testing.assert_close(
            overfitting_heuristic(real, fake), real.sign().mean(), rtol=0.02, atol=0.01
        )
    # P(N(0.8416, 1) > 0) = 0.8
    assert (
        abs(overfitting_heuristic(torch.randn(50_000) + 0.8416, torch.randn(50_000) - 0.8416) - 0.6)
        < 0.02
    )


def test_the_probability_rises_and_falls_linearly_with_the_images_of_the_ramp():
    p = torch.tensor(0.0)
    for measure, end in ((1.0, _MAX_PROBABILITY), (0.0, 0.0)):
        for step in range(1, 7):
            p = updated_probability(p, torch.tensor(measure), 0.6, 100, 1000)
            assert abs(p - abs(_MAX_PROBABILITY - end - step / 10)) < 1e-5
        assert abs(p - end) < 1e-5
        assert abs(updated_probability(p, torch.tensor(measure), 0.6, 100, 1000) - end) < 1e-5
    at_target = torch.tensor(0.4), torch.tensor(0.3), 0.3, 64
    assert updated_probability(*at_target) == torch.tensor(0.4)


def test_the_control_does_not_wait_for_the_device():
    p, logits = torch.empty((), device="meta"), torch.empty(4, device="meta")
    assert updated_probability(p, overfitting_heuristic(logits, logits), 0.6, 4).shape == ()
    memorization = Memorization(torch.device("meta"))
    memorization.add(*torch.empty(4, device="meta"))
    assert memorization.ratio().shape == ()


def test_auto_is_adaptive_for_small_datasets_and_with_held_out_images():
    alone = TrainConfig(held_out_share=0)
    assert resolve_probability(alone, _ADAPTIVE_BELOW - 1) == "adaptive"
    assert resolve_probability(alone, _ADAPTIVE_BELOW) == 0
    assert resolve_probability(TrainConfig(), _ADAPTIVE_BELOW) == "adaptive"
    assert resolve_probability(TrainConfig(augment=()), 10_000) == 0, "there is nothing to adapt"
    assert (
        resolve_probability(TrainConfig(augment_p="adaptive", held_out_share=0), 10**6)
        == "adaptive"
    )
    assert resolve_probability(TrainConfig(augment_p=0.3), 10_000) == 0.3


def test_the_probability_rises_while_D_memorises_images_and_falls_otherwise():
    """A linear D in many dimensions separates 16 images of the distribution of the fake ones. From
    new images in every step it learns nothing. Its logits are far from zero.
    """
    for few, expected in ((True, _MAX_PROBABILITY), (False, 0.0)):
        torch.manual_seed(0)
        w, p = torch.zeros(256), torch.tensor(0.5)
        kept = torch.randn(16, 256)
        for _ in range(200):
            real, fake = kept if few else torch.randn(16, 256), torch.randn(16, 256)
            real_logits, fake_logits = 7 + real @ w, 7 + fake @ w
            w += 0.002 * (
                (fake_logits - real_logits).sigmoid() @ (real - fake)
            )  # descends -log sigmoid(real - fake)
            p = updated_probability(
                p, overfitting_heuristic(real_logits, fake_logits), OVERFITTING_TARGET, 16, 1600
            )
        assert float(p) == pytest.approx(expected)
