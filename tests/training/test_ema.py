"""The EMA of the generator: its recurrence, its half-life, and what it leaves alone."""

import copy

import pytest
import torch
from torch import nn

from dcgan.training.ema import EMA, ema_decay


def test_the_ema_follows_the_recurrence_and_leaves_batch_norm_statistics_alone():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    average = copy.deepcopy(model).requires_grad_(False)
    ema = EMA(average, model)
    expected = {k: v.clone().double() for k, v in average.state_dict().items()}
    for _ in range(5):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p))
        model(torch.randn(4, 1, 8, 8) * 3 + 1)
        ema.update(0.7)
        for k, v in model.named_parameters():
            expected[k] = 0.7 * expected[k] + 0.3 * v.detach()
    for k, v in average.named_parameters():
        torch.testing.assert_close(v.double(), expected[k].double(), atol=1e-5, rtol=1e-5)
    assert torch.equal(average[1].running_mean, torch.zeros(2))
    assert not torch.equal(model[1].running_mean, torch.zeros(2))


def test_the_half_life_is_in_images_for_every_batch_size():
    for batch in (1, 8, 128):
        steps = 1024 // batch
        assert ema_decay(10**9, batch, half_life=1024) ** steps == pytest.approx(0.5)


def test_the_initial_weights_are_forgotten_early():
    """A fixed half-life would keep 87 % of them after 2,000 images."""
    remains, batch = 1.0, 10
    for seen in range(batch, 2001, batch):
        remains *= ema_decay(seen, batch, half_life=10_000)
    assert remains < 1e-6
    assert ema_decay(100, 10, 10_000) < ema_decay(1000, 10, 10_000) < ema_decay(10**6, 10, 10_000)


def test_a_half_life_of_zero_copies_the_model():
    assert ema_decay(1000, 10, half_life=0) == 0
