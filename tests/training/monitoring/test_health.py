"""Every disease, provoked in a small training run, is named; a healthy run is left in peace."""

from collections import defaultdict
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dcgan.config import PrepareConfig
from dcgan.data import packing
from dcgan.errors import UserError
from dcgan.runs import checkpoint
from dcgan.runs.layout import checkpoint_path
from dcgan.runs.run_folder import find_checkpoint
from dcgan.training import loop, trainer
from dcgan.training.batches import BatchLoader
from dcgan.training.monitoring import health
from dcgan.training.monitoring.health import HEALTH_RULES, MIN_LINES, MIN_STEPS, HealthMonitor
from dcgan.training.recorder import Recorder
from dcgan.training.resume import check_resumable
from tests.conftest import PLAIN, fit

CPU = torch.device("cpu")
EVERY = 10
FEW = 50


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """200 of the built-in faces, 16x16."""
    out = tmp_path_factory.mktemp("faces") / "packed"
    return packing.prepare(PrepareConfig(source="faces", size=16, count=200, out=out))


@pytest.fixture
def train(tiny, faces, tmp_path, monkeypatch):
    """`train(spoil, lr_D=1)`: train, with `spoil` called before; the rules that spoke.

    They need evidence over fewer steps than they do for users, so that tests take seconds.
    """
    monkeypatch.setattr(health, "MIN_STEPS", FEW)
    monkeypatch.setattr(health, "WARM_UP_STEPS", FEW)

    def training(spoil=lambda ours: None, **changes) -> list[str]:
        changes = {"width": 8, "batch_size": 16, "lr_G": 2e-3, "lr_D": 3e-4} | changes
        config = tiny(
            **{"steps": 2 * FEW + 2 * EVERY, "beta1": 0.0, "ema_images": 500} | changes,
            log_every=EVERY,
            sample_every=10_000,
            save_every=10_000,
        )
        ours = loop.Trainer(config, CPU)
        spoil(ours)
        batches = BatchLoader(faces.images, config, CPU).starting_at(0)
        with Recorder(ours, faces, tmp_path / "run") as recorder:
            for _, batch in zip(range(config.steps), batches):  # noqa: B905 (endless)
                recorder.record(ours.update(batch))
        return recorder.monitor.reported

    return training


def freeze_at_zero(parameter):
    torch.nn.init.zeros_(parameter)
    parameter.register_hook(torch.zeros_like)


def test_a_healthy_run_is_left_in_peace(train, monkeypatch, capsys):
    monkeypatch.setattr(health, "WARM_UP_STEPS", 200)
    assert train(steps=500) == []
    assert "Try" not in capsys.readouterr().err


def test_d_wins_everything(train):
    """With the recipe of 2015: penalties on D's gradients keep it from being so sure."""
    assert "D wins" in train(**PLAIN, lr_D=1e-2, lr_G=1e-6)


@pytest.mark.parametrize("loss", ["hinge", "least-squares", "relativistic"])
def test_d_wins_by_any_loss(train, loss):
    """Some give D no reason to push its logits far apart, and it wins all the same."""
    assert "D wins" in train(**PLAIN | {"loss": loss, "batch_norm_D": False}, lr_D=3e-3, lr_G=1e-8)


def test_d_is_blind(train):
    assert "D is blind" in train(lambda ours: freeze_at_zero(ours.D.score.weight))


def test_d_diverges(train):
    """Penalties that come too seldom for its steps."""
    said = train(lr_D=0.1, penalty_every=32, clip=0)
    assert "D has diverged" in said and "D wins" not in said


def test_g_collapses_to_one_picture(train):
    def blind(ours):
        freeze_at_zero(ours.G.layers[0].weight)

    assert "G makes one image" in train(blind)


def test_g_collapses_to_few_pictures(train):
    def nearly_blind(ours):
        ours.G.register_forward_pre_hook(lambda G, args: args[0][torch.arange(16) % 3])

    said = train(nearly_blind)
    assert "G makes few images" in said
    assert "G makes one image" not in said


def test_few_pictures_are_seen_in_all_parts_of_a_batch(train):
    def in_pairs(ours):
        ours.G.register_forward_pre_hook(lambda G, args: args[0][[0, 0]])

    said = train(in_pairs, accumulate=8)
    assert "G makes few images" in said
    assert "G makes one image" not in said


def test_rates_that_have_fallen_as_asked_are_no_standstill(train):
    assert "G does not change" not in train(lr_G=3e-7, lr_decay="cosine")
    assert "G does not change" in spoken_rules({"update_G": 1e-7, "lr_factor": 0.5})


def test_nothing_changes(train):
    assert {"G does not change", "D does not change"} <= set(train(lr_G=1e-9, lr_D=1e-9))


def test_tanh_saturates(train):
    def loud(ours):
        ours.G.layers[-2].register_forward_hook(lambda layer, args, output: 1000 * output)

    assert "tanh saturates" in train(loud)


def test_the_average_lags(train, monkeypatch):
    monkeypatch.setattr(trainer, "ema_decay", lambda *_: 1.0)
    assert "the average lags" in train(lr_G=2e-2)


def test_gradients_explode(train):
    def later(ours):
        def louder(gradient):
            return gradient * (1000 if ours.step > FEW else 1)

        for network in (ours.G, ours.D):
            for parameter in network.parameters():
                parameter.register_hook(louder)

    said = train(later)
    assert {"gradients of G explode", "gradients of D explode"} <= set(said)


# The rules by themselves


SICK = {"update_G": 1e-9, "update_D": 0.01}
WELL = {"update_G": 0.01, "update_D": 0.01}


def lines(*numbers):
    return [(step, SICK if sick else WELL) for step, sick in numbers]


def spoken(monitor, lines):
    return [(step, sentence) for step, means in lines for sentence in monitor.check(step, means)]


def spoken_rules(means):
    monitor = HealthMonitor()
    spoken(monitor, [(1000 * n, means) for n in range(1, 10)])
    return monitor.reported


def test_a_rule_speaks_once_and_with_what_to_try():
    ((step, sentence),) = spoken(HealthMonitor(), [(50 * n, SICK) for n in range(1, 40)])
    assert step == 250, "five lines over 200 steps"
    assert "since step 50" in sentence and "--lr-G" in sentence


def test_few_lines_few_steps_and_a_good_line_between_are_no_evidence():
    assert not spoken(HealthMonitor(), [(1000 * n, SICK) for n in range(1, MIN_LINES)])
    assert not spoken(HealthMonitor(), [(n, SICK) for n in range(1, MIN_STEPS)])
    assert not spoken(
        HealthMonitor(), [(50 * n, WELL if n % 5 == 0 else SICK) for n in range(1, 40)]
    )


@pytest.mark.parametrize("missing", [{}, {"diversity": 0.0}])
def test_what_is_not_logged_shows_nothing(missing):
    said = spoken(HealthMonitor(), [(100 * n, missing) for n in range(20)])
    assert all("collapsed" in sentence for _, sentence in said)


def test_every_rule_can_be_said_and_none_is_left_untested():
    source = Path(__file__).read_text()
    numbers = defaultdict(lambda: 0.5)
    for name, rule in HEALTH_RULES.items():
        assert rule.message.format_map(numbers).endswith((".", "itself."))
        assert "--" in rule.message, "what to try"
        assert f'"{name}"' in source


# Over a resume


def words(run):
    events = EventAccumulator(str(run)).Reload()
    if "health" not in events.Tags()["tensors"]:
        return []
    # TensorBoard drops what a crash has made obsolete of scalars and images, but not of words.
    found = {(e.step, e.tensor_proto.string_val[0].decode()) for e in events.Tensors("health")}
    return sorted(found)


@pytest.mark.parametrize("stop", [40, 70, 90])
def test_a_run_that_is_continued_says_what_an_uninterrupted_one_says(
    tiny, packed, tmp_path, capsys, monkeypatch, stop
):
    """Stopped before there is enough evidence, just after it has been said, and later."""
    monkeypatch.setattr(health, "MIN_STEPS", FEW)
    options = dict(lr_G=1e-9, log_every=10, sample_every=999, save_every=40)
    config = tiny(**options, steps=100)
    fit(config, packed, tmp_path / "whole", CPU)
    whole = words(tmp_path / "whole")
    crashed = loop.trainer_of(packed, config, CPU)
    batches = BatchLoader(packed.images, config, CPU)
    with Recorder(crashed, packed, tmp_path / "parts") as recorder:
        for step in range(stop):
            recorder.record(crashed.update(batches.at(step)))
    capsys.readouterr()
    fit(config, packed, tmp_path / "parts", CPU)
    again = capsys.readouterr().err
    assert whole[0][0] == 60
    assert words(tmp_path / "parts") == whole
    newer = stop == 90  # than the words is the last checkpoint, so that they are known
    assert again.count("G has not changed") == (not newer)
    fit(tiny(**options, steps=130), packed, tmp_path / "parts", CPU)
    assert "G has not changed" not in capsys.readouterr().err
    assert words(tmp_path / "parts") == whole
    ends = [checkpoint.read(checkpoint_path(tmp_path / run, 100)) for run in ("whole", "parts")]
    assert ends[0].header["health"] == ends[1].header["health"]


@pytest.mark.parametrize(
    "state", [{}, {"reported": 3, "holding": {}, "initial_norms": {}}, [], {"reported": []}]
)
def test_a_state_that_makes_no_sense_is_a_damaged_checkpoint(run, state):
    found = find_checkpoint(run)
    health.check_health_state(found.header["health"])
    found.header["health"] = state
    with pytest.raises(UserError, match="not a usable checkpoint"):
        check_resumable(found)
