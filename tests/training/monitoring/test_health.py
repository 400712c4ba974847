"""Failures provoked in small training runs are reported, and none in a healthy one."""

import json

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dcgan.config import PrepareConfig
from dcgan.data import packing
from dcgan.errors import UserError
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.layout import METRICS_FILE, checkpoint_path
from dcgan.training import preparation, trainer
from dcgan.training.batches import BatchLoader
from dcgan.training.monitoring import HealthMonitor, health
from dcgan.training.periodic_tasks import PeriodicTasks
from dcgan.training.resume import check_resumable
from dcgan.training.trainer import Trainer
from tests.conftest import PLAIN, fit

CPU = torch.device("cpu")
LOG_EVERY = 10
EVIDENCE_STEPS = 50  # in place of 200 and 500, so that tests take seconds


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """200 of the built-in faces, 16x16."""
    out = tmp_path_factory.mktemp("faces") / "packed"
    return packing.prepare(PrepareConfig(source="faces", size=16, count=200, out=out))


@pytest.fixture
def train(tiny, faces, tmp_path, monkeypatch):
    """`train(sabotage, lr_D=1)`: trains after `sabotage(trainer)`; returns the rules reported."""
    monkeypatch.setattr(health, "MIN_STEPS", EVIDENCE_STEPS)
    monkeypatch.setattr(health, "_WARM_UP_STEPS", EVIDENCE_STEPS)

    def training(sabotage=lambda ours: None, **changes) -> list[str]:
        changes = {"width": 8, "batch_size": 16, "lr_G": 2e-3, "lr_D": 3e-4} | changes
        steps = 2 * EVIDENCE_STEPS + 2 * LOG_EVERY
        config = tiny(
            **{"steps": steps, "beta1": 0.0, "ema_images": 500} | changes,
            log_every=LOG_EVERY,
            sample_every=10_000,
            save_every=10_000,
        )
        ours = Trainer(config, CPU)
        sabotage(ours)
        batches = BatchLoader(faces.images, config, CPU).starting_at(0)
        with PeriodicTasks(ours, faces, tmp_path / "run") as tasks:
            for _, batch in zip(range(config.steps), batches):  # noqa: B905 (endless)
                tasks.after_step(ours.update(batch))
        return tasks.recorder.monitor.reported

    return training


def freeze_at_zero(parameter):
    torch.nn.init.zeros_(parameter)
    parameter.register_hook(torch.zeros_like)


def test_nothing_is_reported_in_a_healthy_run(train, monkeypatch, capsys):
    monkeypatch.setattr(health, "_WARM_UP_STEPS", 200)
    assert train(steps=500) == []
    assert "Try" not in capsys.readouterr().err


def test_a_D_that_is_never_wrong_is_reported(train):
    """With the recipe of 2015, since gradient penalties would keep D from being so sure."""
    assert "D wins" in train(**PLAIN, lr_D=1e-2, lr_G=1e-6)


@pytest.mark.parametrize("loss", ["hinge", "least-squares", "relativistic"])
def test_a_D_that_is_never_wrong_is_reported_with_every_loss(train, loss):
    """Also those that give D no reason to push its logits far apart. R1 is too weak to matter."""
    recipe = PLAIN | {"loss": loss, "batch_norm_D": False, "r1": 1e-9}
    assert "D wins" in train(**recipe, lr_D=3e-3, lr_G=1e-8, steps=240)


def test_a_D_with_one_output_for_all_images_is_reported(train):
    assert "D is blind" in train(lambda ours: freeze_at_zero(ours.D.score.weight))


def test_a_D_that_diverges_is_reported(train):
    """Its gradient penalties come too rarely for its learning rate."""
    reported = train(lr_D=0.1, penalty_every=32, clip=0)
    assert "D has diverged" in reported and "D wins" not in reported


def test_a_G_that_ignores_its_latents_is_reported(train):
    def ignore_latents(ours):
        freeze_at_zero(ours.G.layers[0].weight)

    assert "G makes one image" in train(ignore_latents)


def test_a_G_that_makes_three_images_is_reported(train):
    def three_latents(ours):
        ours.G.register_forward_pre_hook(lambda G, args: args[0][torch.arange(16) % 3])

    reported = train(three_latents)
    assert "G makes few images" in reported
    assert "G makes one image" not in reported


def test_images_that_repeat_within_micro_batches_are_reported(train):
    def equal_pairs(ours):
        ours.G.register_forward_pre_hook(lambda G, args: args[0][[0, 0]])

    reported = train(equal_pairs, accumulate=8)
    assert "G makes few images" in reported
    assert "G makes one image" not in reported


def test_updates_that_shrink_with_the_learning_rate_are_not_reported(train, tmp_path):
    assert "G does not change" not in train(lr_G=2e-7, lr_decay="cosine", steps=240)
    # A monitor that is not told the factor of the learning rate would report them.
    monitor = HealthMonitor()
    for line in (tmp_path / "run" / METRICS_FILE).read_text().splitlines():
        means = json.loads(line)
        monitor.check(means["step"], means)
    assert "G does not change" in monitor.reported


def test_networks_that_do_not_change_are_reported(train):
    assert {"G does not change", "D does not change"} <= set(train(lr_G=1e-9, lr_D=1e-9))


def test_saturated_images_are_reported(train):
    def amplify(ours):
        ours.G.layers[-2].register_forward_hook(lambda layer, args, output: 1000 * output)

    assert "tanh saturates" in train(amplify)


def test_an_average_far_from_G_is_reported(train, monkeypatch):
    monkeypatch.setattr(trainer, "ema_decay", lambda *_: 1.0)
    assert "the average lags" in train(lr_G=2e-2)


def test_exploding_gradients_are_reported(train):
    def amplify_later(ours):
        def amplify(gradient):
            return gradient * (1000 if ours.step > EVIDENCE_STEPS else 1)

        for network in (ours.G, ours.D):
            for parameter in network.parameters():
                parameter.register_hook(amplify)

    reported = train(amplify_later)
    assert {"gradients of G explode", "gradients of D explode"} <= set(reported)


# Over a resume


def logged_messages(run):
    events = EventAccumulator(str(run)).Reload()
    if "health" not in events.Tags()["tensors"]:
        return []
    # After a crash TensorBoard drops obsolete scalars and images, but not texts.
    found = {(e.step, e.tensor_proto.string_val[0].decode()) for e in events.Tensors("health")}
    return sorted(found)


@pytest.mark.parametrize("stop", [40, 70, 90])
def test_a_resumed_run_reports_what_an_uninterrupted_one_does(
    tiny, packed, tmp_path, capsys, monkeypatch, stop
):
    """Stopped before there is enough evidence, just after it is reported, and later."""
    monkeypatch.setattr(health, "MIN_STEPS", EVIDENCE_STEPS)
    options = dict(lr_G=1e-9, log_every=10, sample_every=999, save_every=40)
    config = tiny(**options, steps=100)
    fit(config, packed, tmp_path / "whole", CPU)
    whole = logged_messages(tmp_path / "whole")
    crashed = preparation.make_trainer(packed, config, CPU)
    batches = BatchLoader(packed.images, config, CPU)
    with PeriodicTasks(crashed, packed, tmp_path / "parts") as tasks:
        for step in range(stop):
            tasks.after_step(crashed.update(batches.at(step)))
    capsys.readouterr()
    fit(config, packed, tmp_path / "parts", CPU)
    again = capsys.readouterr().err
    assert whole[0][0] == 60
    assert logged_messages(tmp_path / "parts") == whole
    already_saved = stop == 90  # the last checkpoint is of step 80, after the report
    assert again.count("G has not changed") == (not already_saved)
    fit(tiny(**options, steps=130), packed, tmp_path / "parts", CPU)
    assert "G has not changed" not in capsys.readouterr().err
    assert logged_messages(tmp_path / "parts") == whole
    ends = [checkpoint.read(checkpoint_path(tmp_path / run, 100)) for run in ("whole", "parts")]
    assert ends[0].header["health"] == ends[1].header["health"]


@pytest.mark.parametrize(
    "state",
    [
        {},
        [],
        {"reported": []},
        {"reported": 3, "holding": {}, "initial_norms": {}},
        {"reported": [3], "holding": {}, "initial_norms": {}},
        {"reported": [], "holding": {"D wins": [1, 2, 3]}, "initial_norms": {}},
        {"reported": [], "holding": {"D wins": [-1, 2]}, "initial_norms": {}},
        {"reported": [], "holding": {}, "initial_norms": {"grad_norm_G": 10**400}},
        {"reported": [], "holding": {}, "initial_norms": {}, "stray": 1},
    ],
)
def test_a_checkpoint_with_an_invalid_health_state_is_damaged(run, state):
    found = find_checkpoint(run)
    check_resumable(found)
    found.header["health"] = state
    with pytest.raises(UserError, match="not a usable checkpoint"):
        check_resumable(found)
