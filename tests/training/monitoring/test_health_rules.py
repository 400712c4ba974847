"""Every health rule on made-up lines of a log: just beyond its threshold, and just short of it."""

import dataclasses
import re

import pytest

from dcgan.config import TrainConfig
from dcgan.training.monitoring.health import HEALTH_RULES, MIN_LINES, MIN_STEPS, HealthMonitor

HEALTHY = {
    "accuracy_real": 0.8,
    "accuracy_fake": 0.8,
    "D_real": 0.6,
    "D_fake": 0.4,
    "loss_D": 0.6,
    "loss_at_chance": 0.7,
    "memorization": 0.3,
    "diversity": 0.9,
    "nearest": 0.9,
    "update_G": 0.01,
    "update_D": 0.01,
    "lr_factor": 1.0,
    "saturated_real": 0.1,
    "saturated_fake": 0.1,
    "ema_distance": 0.2,
    "grad_norm_G": 1.0,
    "grad_norm_D": 1.0,
}
WINNING = {"accuracy_real": 0.995, "accuracy_fake": 0.995}

# Rule, means that differ from those of a healthy run, nearly the same means that are no failure.
CASES = [
    ("D wins", WINNING | {"D_fake": 0.019}, WINNING | {"D_fake": 0.021}),
    ("D wins", WINNING | {"loss_D": 0.0209}, WINNING | {"loss_D": 0.0211}),
    ("D wins", WINNING | {"D_fake": 0.019}, WINNING | {"D_fake": 0.019, "accuracy_real": 0.985}),
    ("D wins", WINNING | {"D_fake": 0.019}, WINNING | {"D_fake": 0.019, "accuracy_fake": 0.985}),
    ("D is blind", {"D_real": 0.40009}, {"D_real": 0.40011}),
    ("D is blind", {"D_real": 0.39991}, {"D_real": 0.39989}),
    ("D has diverged", {"loss_D": 2.11}, {"loss_D": 2.09}),
    ("D memorises", {"memorization": 0.71}, {"memorization": 0.69}),
    ("G makes one image", {"diversity": 0.09, "nearest": 0.0}, {"diversity": 0.11}),
    ("G makes few images", {"nearest": 0.24}, {"nearest": 0.26}),
    ("G does not change", {"update_G": 0.9e-6}, {"update_G": 1.1e-6}),
    (
        "G does not change",
        {"update_G": 0.9e-7, "lr_factor": 0.1},
        {"update_G": 1.1e-7, "lr_factor": 0.1},
    ),
    ("D does not change", {"update_D": 0.9e-6}, {"update_D": 1.1e-6}),
    (
        "D does not change",
        {"update_D": 0.9e-7, "lr_factor": 0.1},
        {"update_D": 1.1e-7, "lr_factor": 0.1},
    ),
    ("tanh saturates", {"saturated_fake": 0.41}, {"saturated_fake": 0.39}),
    (
        "tanh saturates",
        {"saturated_fake": 0.91, "saturated_real": 0.6},
        {"saturated_fake": 0.91, "saturated_real": 0.62},
    ),
    ("the average lags", {"ema_distance": 0.51}, {"ema_distance": 0.49}),
    ("gradients of G explode", {"grad_norm_G": 101.0}, {"grad_norm_G": 99.0}),
    ("gradients of D explode", {"grad_norm_D": 101.0}, {"grad_norm_D": 99.0}),
]


def run(lines, monitor: HealthMonitor | None = None) -> list[tuple[int, str]]:
    """The messages of a monitor for lines of the log, with their steps."""
    monitor = monitor or HealthMonitor()
    return [(step, message) for step, means in lines for message in monitor.check(step, means)]


def names_reported(changes: dict) -> list[str]:
    """The rules that speak when a healthy run comes to have other means after 500 steps."""
    monitor = HealthMonitor()
    healthy = [(100 * n, HEALTHY) for n in range(1, 6)]
    assert run(healthy, monitor) == []
    run([(600 + 100 * n, HEALTHY | changes) for n in range(MIN_LINES)], monitor)
    return monitor.reported


def test_there_is_a_case_for_every_rule():
    assert len(HEALTH_RULES) == 12
    assert {name for name, _, _ in CASES} == set(HEALTH_RULES)


@pytest.mark.parametrize(("name", "failing", "near"), CASES)
def test_a_rule_reports_its_failure_alone_and_nothing_short_of_it(name, failing, near):
    assert names_reported(failing) == [name]
    assert names_reported(near) == []


@pytest.mark.parametrize(("name", "failing", "near"), CASES)
def test_a_message_has_its_numbers_and_names_flags_that_exist(name, failing, near):
    lines = [(n, HEALTHY) for n in (100, 200)]
    lines += [(600 + 100 * n, HEALTHY | failing) for n in range(MIN_LINES)]
    ((_, message),) = run(lines)
    assert "{" not in message and "nan" not in message
    assert re.search(r"\d", message) and message.endswith(".")
    flags = re.findall(r"--([\w-]+)", message)
    known = {field.name.replace("_", "-") for field in dataclasses.fields(TrainConfig)}
    assert flags and set(flags) <= known | {"raw"}, "--raw is an option of sample"


@pytest.mark.parametrize("missing", HEALTHY)
def test_a_mean_that_is_not_logged_is_no_failure(missing):
    means = {name: value for name, value in HEALTHY.items() if name != missing}
    assert run([(100 * n, means) for n in range(1, 20)]) == []


def test_lines_with_one_mean_alone_are_judged_by_it():
    assert run([(100 * n, {}) for n in range(20)]) == []
    ((_, message),) = run([(100 * n, {"diversity": 0.0}) for n in range(20)])
    assert message.startswith("G has collapsed to one image")


STUCK = HEALTHY | {"update_G": 1e-9}


def test_a_rule_speaks_once_after_five_lines_over_200_steps():
    ((step, message),) = run([(50 * n, STUCK) for n in range(1, 40)])
    assert step == 250
    assert message.startswith("G has not changed since step 50: ")


def test_few_lines_few_steps_and_a_good_line_between_are_no_evidence():
    assert not run([(1000 * n, STUCK) for n in range(1, 5)])
    assert run([(1000 * n, STUCK) for n in range(1, 6)])
    assert not run([(n, STUCK) for n in range(1, 201)])
    assert run([(n, STUCK) for n in range(1, 202)])
    assert not run([(50 * n, HEALTHY if n % 5 == 0 else STUCK) for n in range(1, 40)])


@pytest.mark.parametrize("name", ["G makes one image", "G makes few images"])
def test_diversity_is_not_judged_before_the_warm_up_ends(name):
    failing = next(failing for rule, failing, _ in CASES if rule == name)
    ((step, _),) = run([(10 * n, HEALTHY | failing) for n in range(1, 100)])
    assert step == 510 + MIN_STEPS


def test_gradients_are_compared_with_the_largest_of_the_first_steps():
    lines = [(100, HEALTHY | {"grad_norm_G": 5.0}), (200, HEALTHY)]
    lines += [(300 + 100 * n, HEALTHY | {"grad_norm_G": 499.0}) for n in range(10)]
    assert run(lines) == []
    lines += [(1300 + 100 * n, HEALTHY | {"grad_norm_G": 501.0}) for n in range(MIN_LINES)]
    ((_, message),) = run(lines)
    assert "their norm is 501, and was at most 5 at first" in message
