"""Gradients that are suddenly long, against Adam's recursion written out with plain numbers."""

import math

import pytest
import torch

from dcgan.training import loop
from dcgan.training import optimizer as optimisation
from dcgan.training.batches import Batches
from tests.conftest import TINY

CPU = torch.device("cpu")
BETA2 = TINY.beta2


def steps_of(lengths: list[float], times: float = 2.0) -> tuple[list[float], list[float]]:
    """Of gradients as long as this: how long those are that Adam sees, and how far it moves, in
    root mean squares of 1e-3."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2))
    optimizer = optimisation.adam(network, 1e-3, TINY)
    optimisation.clip(optimizer, times)
    parameters = list(network.parameters())
    seen, moved = [], []
    for length in lengths:
        before = [parameter.detach().clone() for parameter in parameters]
        shares = [torch.randn_like(parameter) * 10.0**-i for i, parameter in enumerate(parameters)]
        whole = torch.cat([share.flatten() for share in shares]).norm()
        for parameter, share in zip(parameters, shares, strict=True):
            parameter.grad = share * length / whole
        optimizer.step()
        seen.append(torch.cat([p.grad.flatten() for p in parameters]).norm().item())
        difference = [(p - b).flatten() for p, b in zip(parameters, before, strict=True)]
        moved.append(torch.cat(difference).square().mean().sqrt().item() / 1e-3)
    return seen, moved


def expected(lengths: list[float], times: float) -> list[float]:
    """None is longer than `times` the root of the corrected second moment, if that is not zero."""
    moment, seen = 0.0, []
    for step, length in enumerate(lengths):
        usual = math.sqrt(moment / (1 - BETA2**step)) if step else 0.0
        seen.append(min(length, times * usual) if usual else length)
        moment = BETA2 * moment + (1 - BETA2) * seen[-1] ** 2
    return seen


@pytest.mark.parametrize("times", [1.5, 2.0])
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
def test_what_adam_sees(lengths, times):
    seen, _ = steps_of(lengths, times)
    assert seen == pytest.approx(expected(lengths, times), rel=1e-4)


def test_a_burst_moves_the_weights_hardly_farther_than_usual():
    usual, burst = [1.0] * 300, [100.0] * 3
    assert steps_of(usual, 2.0)[0] == pytest.approx(usual), "nothing is clipped without need"
    free, clipped = (max(steps_of(usual + burst, times)[1]) for times in (1e9, 2.0))
    assert free > 10
    assert 1 < clipped < 2.3


def test_what_is_not_finite_stays_so():
    """So that `NonFiniteGuard` sees in the weights what it has not seen in the step."""
    seen, _ = steps_of([1.0, 1.0, math.inf])
    assert not math.isfinite(seen[-1])


@pytest.mark.parametrize(
    ("name", "options", "most"),
    [
        ("G", {}, 3.0),
        ("D", {}, 3.0),
        ("G", dict(penalty_every=25), 3.0),
        ("D", dict(penalty_every=25), 5.5),
    ],
)
def test_both_networks_are_held(tiny, packed, name, options, most):
    """D as far as rare penalties do not do it themselves."""
    ratios = []
    for times in (3.0, 0.0):
        ours = loop.Trainer(tiny(clip=times, **options), CPU)
        network, optimizer = getattr(ours, name), getattr(ours, f"opt_{name}")
        for parameter in network.parameters():
            parameter.register_hook(lambda g, ours=ours: g * (1000 if ours.step == 20 else 1))
        batches = Batches(packed.images, ours.config, CPU)
        for step in range(20):
            ours.update(batches.at(step))
        moments = sum(state["exp_avg_sq"].sum() for state in optimizer.state.values())
        usual = (moments / (1 - BETA2**20)).sqrt()
        ours.update(batches.at(20))
        length = torch.nn.utils.get_total_norm([p.grad for p in network.parameters()])
        ratios.append(float(length / usual))
    assert ratios[0] == pytest.approx(most, rel=0.04)
    assert ratios[1] > 100
