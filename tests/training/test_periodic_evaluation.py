"""Evaluation along a run: it changes nothing of the training, and knows when it was best."""

import dataclasses
import json
import time

import numpy as np
import pytest
import torch

from dcgan import cli
from dcgan.errors import UserError
from dcgan.runs import checkpoint
from dcgan.runs.layout import best_checkpoint_path, checkpoint_path, list_checkpoints
from dcgan.runs.loading import load_generator
from dcgan.runs.run_folder import find_checkpoint, latest_checkpoint
from dcgan.training import periodic_evaluation
from dcgan.training.best_evaluation import BestEvaluation
from dcgan.training.resume import check_resumable
from tests.conftest import TINY, fit

CPU = torch.device("cpu")


def judged(run):
    """Step -> scores of a run's evaluations."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return {
        line["step"]: {k.removeprefix("eval/"): v for k, v in line.items() if "eval/" in k}
        for line in lines
        if "eval/frechet" in line
    }


def equal(first, second):
    return set(first) == set(second) and all(v.equal(second[k]) for k, v in first.items())


def test_the_first_evaluation_is_the_best_and_ties_are_misses(tiny):
    best = BestEvaluation.of(tiny(), None)
    assert best.update(10, {"frechet": 5.0}) and not best.update(20, {"frechet": 5.0})
    assert best.update(30, {"frechet": 4.0}) and best.misses == 0
    assert (best.step, best.value) == (30, 4.0)


@pytest.mark.parametrize("by", ["precision", "recall", "coverage"])
def test_shares_are_better_higher(tiny, by):
    best = BestEvaluation.of(tiny(best_by=by), None)
    best.update(1, {by: 0.2})
    assert best.update(2, {by: 0.3}) and not best.update(3, {by: 0.1})


def test_patience_counts_evaluations_in_a_row(tiny):
    best = BestEvaluation.of(tiny(), None)
    for step, value in enumerate((3, 4, 2, 5, 5)):
        best.update(step, {"frechet": value})
    assert best.out_of_patience(2) and not best.out_of_patience(3) and not best.out_of_patience(0)


@pytest.fixture(scope="module")
def evaluated(packed, tmp_path_factory):
    """A run of 8 steps with an evaluation at 3, 6 and 8."""
    config = dataclasses.replace(TINY, steps=8, eval_every=3, eval_images=40)
    run = tmp_path_factory.mktemp("evaluated") / "run"
    fit(config, packed, run, CPU)
    return config, run


def test_training_is_the_same_bit_for_bit(evaluated, packed, tiny, tmp_path):
    _, run = evaluated
    last = fit(tiny(steps=8), packed, tmp_path / "plain", CPU)
    plain, found = checkpoint.read(last), latest_checkpoint(run)
    assert equal(plain.tensors(""), found.tensors(""))


def test_scores_are_logged_at_their_steps_beside_the_losses(evaluated):
    _, run = evaluated
    scores = judged(run)
    assert list(scores) == [3, 6, 8]
    assert {"frechet", "kernel", "precision", "recall", "coverage", "swd", "ms_ssim"} <= set(
        scores[3]
    )
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    assert all(np.isfinite(line["loss_D"]) for line in lines)


def test_the_best_checkpoint_is_of_the_best_evaluation(evaluated):
    _, run = evaluated
    scores = judged(run)
    best = min(scores, key=lambda step: scores[step]["frechet"])
    found = checkpoint.read(best_checkpoint_path(run))
    assert found.step == best
    assert found.header["best"]["value"] == scores[best]["frechet"]
    assert found.header["best"]["step"] == best
    assert latest_checkpoint(run).step == 8, (
        "the newest is still the one that training goes on from"
    )
    load_generator(best_checkpoint_path(run))


@pytest.mark.parametrize("cut", [2, 4, 6])
def test_a_resumed_run_evaluates_as_one_that_never_stopped(evaluated, packed, tmp_path, cut):
    """Also where the cut lies between an evaluation and the next."""
    config, run = evaluated
    ours = tmp_path / "run"
    part = dataclasses.replace(config, steps=8, save_every=cut, keep=0)
    fit(part, packed, ours, CPU)
    for path in list_checkpoints(ours):
        if path != checkpoint_path(ours, cut):
            path.unlink()
    best_checkpoint_path(ours).unlink()
    fit(config, packed, ours, CPU)
    assert judged(ours) == judged(run)
    first, second = (latest_checkpoint(folder) for folder in (ours, run))
    assert first.header["best"] == second.header["best"]
    assert equal(first.tensors(""), second.tensors(""))


def test_the_best_outlives_the_steps_that_are_taken_again(packed, tiny, tmp_path, monkeypatch):
    """As after numbers that were not finite, where the user goes on at other rates."""
    scores = iter([3.0, 1.0, 2.0, 2.5])
    monkeypatch.setattr(
        periodic_evaluation.Evaluator, "scores", lambda *_: {"frechet": next(scores)}
    )
    along = dict(eval_every=2, eval_images=20, patience=2)
    fit(tiny(steps=4, save_every=3, **along), packed, tmp_path / "run", CPU)
    checkpoint_path(tmp_path / "run", 4).unlink()
    path = best_checkpoint_path(tmp_path / "run")
    kept = path.read_bytes()
    fit(tiny(steps=6, save_every=6, lr_G=1e-3, **along), packed, tmp_path / "run", CPU)
    assert path.read_bytes() == kept and checkpoint.read(path).step == 4
    best = find_checkpoint(tmp_path / "run").header["best"]
    assert (best["value"], best["step"], best["misses"]) == (1.0, 4, 1)


def test_a_damaged_best_is_named_and_passed_over(packed, tiny, tmp_path, capsys):
    along = dict(eval_every=2, eval_images=20)
    fit(tiny(steps=2, **along), packed, tmp_path / "run", CPU)
    best_checkpoint_path(tmp_path / "run").write_bytes(b"no checkpoint")
    fit(tiny(steps=4, **along), packed, tmp_path / "run", CPU)
    assert "passed over" in capsys.readouterr().err
    assert find_checkpoint(tmp_path / "run").step == 4


@pytest.fixture
def worse_and_worse(monkeypatch):
    """Evaluations that get worse every time."""

    def scores(self, G):
        self.calls = getattr(self, "calls", 0) + 1
        return {"frechet": float(self.calls), "coverage": 0.0}

    monkeypatch.setattr(periodic_evaluation.Evaluator, "scores", scores)


def test_patience_ends_a_run_with_all_saved(worse_and_worse, packed, tiny, tmp_path, capsys):
    config = tiny(steps=99, eval_every=2, eval_images=20, patience=3, save_every=50)
    last = fit(config, packed, tmp_path / "run", CPU)
    assert last == checkpoint_path(tmp_path / "run", 8) and checkpoint.read(last).step == 8
    assert checkpoint.read(best_checkpoint_path(tmp_path / "run")).step == 2
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "stopped: 3 evaluations were no better than the best"
    assert out[1].startswith("best frechet 1, of step 2: ") and out[1].endswith("best.safetensors")
    # The same command again has no patience left; more patience has.
    longer = dataclasses.replace(config, steps=199)
    assert fit(longer, packed, tmp_path / "run", CPU) == last
    assert "has run out of --patience 3: more of it goes on" in capsys.readouterr().err
    more = tiny(steps=99, eval_every=2, eval_images=20, patience=4, save_every=50)
    assert checkpoint.read(fit(more, packed, tmp_path / "run", CPU)).step > 8


def test_patience_ends_the_command_with_exit_code_0(worse_and_worse, packed, tmp_path, capsys):
    flags = ["--width", "4", "--batch-size", "8", "--device", "cpu", "--steps", "99"]
    flags += ["--eval-every", "1", "--eval-images", "20", "--patience", "1"]
    out = tmp_path / "run"
    assert cli.main(["train", "--data", str(packed.folder), "--out", str(out), *flags]) == 0
    assert "stopped: 1 evaluations" in capsys.readouterr().out


def test_pruning_leaves_the_best(worse_and_worse, packed, tiny, tmp_path):
    config = tiny(steps=8, eval_every=2, eval_images=20, save_every=1, keep=1)
    fit(config, packed, tmp_path / "run", CPU)
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["best.safetensors", "step-00000008.safetensors"]


def test_another_score_starts_from_nothing(tiny, evaluated):
    config, run = evaluated
    found = latest_checkpoint(run)
    state = found.header["best"]
    assert BestEvaluation.of(config, state).value == state["value"]
    assert BestEvaluation.of(tiny(best_by="coverage", eval_images=40), state).value is None


@pytest.mark.parametrize("nonsense", [{"by": 3, "odd": 1}, {"value": "x"}, {"misses": -1}, 7])
def test_nonsense_in_a_header_is_an_error_of_the_user(tiny, evaluated, nonsense):
    _, run = evaluated
    found = latest_checkpoint(run)
    bad = found.header["best"] | nonsense if isinstance(nonsense, dict) else nonsense
    broken = checkpoint.Checkpoint(found.path, found.header | {"best": bad})
    with pytest.raises(UserError, match="not a usable checkpoint"):
        check_resumable(broken)


def test_evaluations_leave_the_rate_of_training_alone(tiny, packed, tmp_path, monkeypatch):
    slow = periodic_evaluation.Evaluator.scores

    def scores(self, G):
        time.sleep(1)
        return slow(self, G)

    monkeypatch.setattr(periodic_evaluation.Evaluator, "scores", scores)
    fit(tiny(steps=4, eval_every=2, eval_images=20), packed, tmp_path / "run", CPU)
    lines = list(map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()))
    assert lines[-1]["seconds"] > 2
    assert lines[-1]["images_per_second"] > 16, "two steps of 8 images took less than a second"


def test_few_images_are_refused_before_training(tiny, packed, tmp_path, monkeypatch):
    few = dataclasses.replace(packed, images=packed.images[:8])
    with pytest.raises(UserError, match="too few"):
        fit(tiny(eval_every=2), few, tmp_path / "run", CPU)
