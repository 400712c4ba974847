"""Gradient clipping relative to the running RMS, against Adam's recursion in plain numbers."""

import math

import pytest
import torch

from dcgan.training.batches import BatchLoader
from dcgan.training.optimizer import (
    GradientClipping,
    heeds_found_inf,
    lr_factor,
    make_adam,
    optimizer_step,
    set_lr,
)
from dcgan.training.trainer import Trainer
from tests.conftest import TINY

CPU = torch.device("cpu")
BETA2 = TINY.beta2


def run_adam(lengths: list[float], ratio: float = 2.0) -> tuple[list[float], list[float]]:
    """Run Adam on gradients of these lengths. Returns the lengths after clipping, and the RMS of
    each update, in units of the learning rate."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2))
    optimizer = make_adam(network, 1e-3, TINY)
    clipping = GradientClipping(optimizer, ratio)
    parameters = list(network.parameters())
    seen, moved = [], []
    for length in lengths:
        before = [parameter.detach().clone() for parameter in parameters]
        shares = [torch.randn_like(parameter) * 10.0**-i for i, parameter in enumerate(parameters)]
        whole = torch.cat([share.flatten() for share in shares]).norm()
        for parameter, share in zip(parameters, shares, strict=True):
            parameter.grad = share * length / whole
        clipping.clip(torch.tensor(length), skip=torch.zeros(()))
        optimizer_step(optimizer, skip=torch.zeros(()))
        seen.append(torch.cat([p.grad.flatten() for p in parameters]).norm().item())
        difference = [(p - b).flatten() for p, b in zip(parameters, before, strict=True)]
        moved.append(torch.cat(difference).square().mean().sqrt().item() / 1e-3)
    return seen, moved


def expected(lengths: list[float], ratio: float) -> list[float]:
    """At most `ratio` times the root of the bias-corrected second moment, if that is not zero."""
    moment, seen = 0.0, []
    for step, length in enumerate(lengths):
        rms = math.sqrt(moment / (1 - BETA2**step)) if step else 0.0
        seen.append(min(length, ratio * rms) if rms else length)
        moment = BETA2 * moment + (1 - BETA2) * seen[-1] ** 2
    return seen


@pytest.mark.parametrize("ratio", [1.5, 2.0])
@pytest.mark.parametrize(
    "lengths",
    [
        [1.0] * 20,
        [1.0] * 20 + [100.0] * 5 + [1.0] * 5,
        [0.0, 0.0, 1.0, 3.0],
        [2.0 ** (n / 3) for n in range(40)],
        [1e-15, 1e-15, 1e15, 1e18],
    ],
)
def test_gradients_are_clipped_to_a_multiple_of_their_running_rms(lengths, ratio):
    seen, _ = run_adam(lengths, ratio)
    assert seen == pytest.approx(expected(lengths, ratio), rel=1e-4)


def test_clipping_keeps_a_burst_of_gradients_from_making_long_updates():
    usual, burst = [1.0] * 300, [100.0] * 3
    assert run_adam(usual, 2.0)[0] == pytest.approx(usual), "no clipping without need"
    free, clipped = (max(run_adam(usual + burst, ratio)[1]) for ratio in (0.0, 2.0))
    assert free > 10
    assert 1 < clipped < 2.3


def test_clipping_leaves_non_finite_gradients_non_finite():
    """So that `NonFiniteGuard` sees in the weights what it has not seen in the step."""
    seen, _ = run_adam([1.0, 1.0, math.inf])
    assert not math.isfinite(seen[-1])


@pytest.mark.parametrize("ratio", [0.0, 2.0])
def test_the_moment_is_the_sum_of_those_of_adam(ratio):
    """With clipped steps and without, and a skipped one among them."""
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 5)
    optimizer = make_adam(network, 1e-3, TINY)
    clipping = GradientClipping(optimizer, ratio)
    for length, skip in ((1.0, 0), (3.0, 0), (math.nan, 1), (100.0, 0), (0.5, 0)):
        for parameter in network.parameters():
            parameter.grad = length * torch.randn_like(parameter)
        norm = torch.nn.utils.get_total_norm([p.grad for p in network.parameters()])
        clipping.clip(norm, skip=torch.tensor(float(skip)))
        optimizer_step(optimizer, skip=torch.tensor(float(skip)))
        moments = sum(state["exp_avg_sq"].sum() for state in optimizer.state.values())
        torch.testing.assert_close(clipping.moment, moments)
    before = clipping.moment.clone()
    clipping.load(None)
    torch.testing.assert_close(clipping.moment, before)
    clipping.load(torch.tensor(7.0))
    assert clipping.moment == 7


@pytest.mark.parametrize("heeded", [False, True])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("steps", [0, 1])
def test_a_skipped_step_changes_neither_parameters_nor_moments(monkeypatch, heeded, skip, steps):
    """Also where the fused Adam does not heed `found_inf`, as on Apple's GPUs."""
    monkeypatch.setattr("dcgan.training.optimizer.heeds_found_inf", lambda *_: heeded)
    if not heeded:
        ignore_found_inf(monkeypatch)
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = make_adam(torch.nn.ParameterList([parameter]), 0.1, TINY)
    for _ in range(steps):
        parameter.grad = torch.ones(3)
        optimizer_step(optimizer, skip=torch.zeros(()))
    zero = {"step": torch.zeros(()), "exp_avg": torch.zeros(3), "exp_avg_sq": torch.zeros(3)}
    state = optimizer.state[parameter] or zero
    before = [parameter.detach().clone(), *(v.clone() for v in state.values())]
    parameter.grad = torch.full((3,), torch.nan if skip else 2.0)
    optimizer_step(optimizer, skip=torch.tensor(float(skip)))
    after = [parameter.detach(), *optimizer.state[parameter].values()]
    assert [torch.equal(a, b) for a, b in zip(after, before, strict=True)] == [skip] * 4


def ignore_found_inf(monkeypatch) -> None:
    fused = torch._fused_adam_
    monkeypatch.setattr(torch, "_fused_adam_", lambda *a, **k: fused(*a, **k | {"found_inf": None}))


def test_a_fused_adam_that_does_not_skip_is_found_out(monkeypatch):
    assert heeds_found_inf.__wrapped__(CPU)
    ignore_found_inf(monkeypatch)
    assert not heeds_found_inf.__wrapped__(CPU)


def test_an_sgd_with_momentum_skips_steps_and_follows_its_factors():
    """As SGD by hand: v = 0.9 v + g, w = w - lr v, with twice the rate in the second group."""
    weight, bias = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    groups = [{"params": [weight]}, {"params": [bias], "lr_factor": 2.0}]
    optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9, fused=True)
    set_lr(optimizer, 0.1)
    for gradient, skip in ((1.0, False), (math.nan, True), (3.0, False)):
        for parameter in (weight, bias):
            parameter.grad = torch.full((2,), gradient)
        optimizer_step(optimizer, skip=torch.tensor(float(skip)))
    moved = 0.1 * (1 + (0.9 + 3))
    assert torch.allclose(weight, torch.tensor(1 - moved))
    assert torch.allclose(bias, torch.tensor(1 - 2 * moved))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("none", [1, 1, 1]), ("linear", [1, 0.75, 0]), ("cosine", [1, (1 + 0.5**0.5) / 2, 0])],
)
def test_learning_rate_schedules_start_at_1_and_decay_to_0(schedule, expected):
    assert [lr_factor(p, schedule) for p in (0, 0.25, 1)] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "options", "limit"),
    [
        ("G", {}, 3.0),
        ("D", {}, 3.0),
        ("G", dict(penalty_every=25), 3.0),
        ("D", dict(penalty_every=25), 5.5),
    ],
)
def test_both_networks_are_clipped(tiny, packed, name, options, limit):
    """D by a limit that leaves the gradients of lazily regularised steps as they are."""
    ratios = []
    for clip in (3.0, 0.0):
        ours = Trainer(tiny(clip=clip, **options), CPU)
        network, optimizer = getattr(ours, name), getattr(ours, f"opt_{name}")
        for parameter in network.parameters():
            parameter.register_hook(lambda g, ours=ours: g * (1000 if ours.step == 20 else 1))
        batches = BatchLoader(packed.images, ours.config, CPU)
        for step in range(20):
            ours.update(batches.at(step))
        moments = sum(state["exp_avg_sq"].sum() for state in optimizer.state.values())
        rms = (moments / (1 - BETA2**20)).sqrt()
        ours.update(batches.at(20))
        length = torch.nn.utils.get_total_norm([p.grad for p in network.parameters()])
        ratios.append(float(length / rms))
    assert ratios[0] == pytest.approx(limit, rel=0.04)
    assert ratios[1] > 100
