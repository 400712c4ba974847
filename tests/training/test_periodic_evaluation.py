"""Periodic evaluation: it leaves training as it is, and finds the best step."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dcgan import cli
from dcgan.errors import UserError
from dcgan.runs import checkpoint, recorder
from dcgan.runs.checkpoint_folder import find_checkpoint, latest_checkpoint
from dcgan.runs.layout import best_checkpoint_path, checkpoint_path, list_checkpoints
from dcgan.runs.loading import load_generator
from dcgan.runs.metrics_file import read_metrics
from dcgan.runtime.device import describe_computation
from dcgan.training import periodic_evaluation
from dcgan.training.best_evaluation import BestEvaluation
from dcgan.training.resume import check_resumable
from dcgan.training.trainer import Trainer
from tests.conftest import TINY, fit

CPU = torch.device("cpu")


def logged_scores(run):
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
def test_higher_precision_recall_and_coverage_are_better(tiny, by):
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


def test_evaluation_does_not_change_training(evaluated, packed, tiny, tmp_path):
    _, run = evaluated
    last = fit(tiny(steps=8), packed, tmp_path / "plain", CPU)
    plain, found = checkpoint.read(last), latest_checkpoint(run)
    assert equal(plain.tensors(""), found.tensors(""))


def test_scores_are_logged_at_their_steps_beside_the_losses(evaluated):
    _, run = evaluated
    scores = logged_scores(run)
    assert list(scores) == [3, 6, 8]
    assert {"frechet", "kernel", "precision", "recall", "coverage", "swd", "ms_ssim"} <= set(
        scores[3]
    )
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    assert all(np.isfinite(line["loss_D"]) for line in lines)


def test_the_best_checkpoint_is_of_the_best_evaluation(evaluated):
    _, run = evaluated
    scores = logged_scores(run)
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
def test_a_resumed_run_has_the_evaluations_of_an_uninterrupted_one(
    evaluated, packed, tmp_path, cut
):
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
    assert logged_scores(ours) == logged_scores(run)
    first, second = (latest_checkpoint(folder) for folder in (ours, run))
    assert first.header["best"] == second.header["best"]
    assert equal(first.tensors(""), second.tensors(""))


def test_the_best_checkpoint_survives_repeated_steps(packed, tiny, tmp_path, monkeypatch):
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


def test_a_damaged_best_checkpoint_is_named_and_skipped(packed, tiny, tmp_path, capsys):
    along = dict(eval_every=2, eval_images=20)
    fit(tiny(steps=2, **along), packed, tmp_path / "run", CPU)
    best_checkpoint_path(tmp_path / "run").write_bytes(b"no checkpoint")
    fit(tiny(steps=4, **along), packed, tmp_path / "run", CPU)
    assert "skipped" in capsys.readouterr().err
    assert find_checkpoint(tmp_path / "run").step == 4


@pytest.fixture
def worse_and_worse(monkeypatch):
    """Evaluations that get worse every time."""

    def scores(self, G):
        self.calls = getattr(self, "calls", 0) + 1
        return {"frechet": float(self.calls), "coverage": 0.0}

    monkeypatch.setattr(periodic_evaluation.Evaluator, "scores", scores)


def test_early_stopping_saves_the_run(worse_and_worse, packed, tiny, tmp_path, capsys):
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
    assert (
        "has run out of --patience 3: raise --patience to train longer" in capsys.readouterr().err
    )
    more = tiny(steps=99, eval_every=2, eval_images=20, patience=4, save_every=50)
    assert checkpoint.read(fit(more, packed, tmp_path / "run", CPU)).step > 8


def test_early_stopping_exits_with_0(worse_and_worse, packed, tmp_path, capsys):
    flags = ["--width", "4", "--batch-size", "8", "--device", "cpu", "--steps", "99"]
    flags += ["--eval-every", "1", "--eval-images", "20", "--patience", "1"]
    out = tmp_path / "run"
    assert cli.main(["train", "--data", str(packed.folder), "--out", str(out), *flags]) == 0
    assert "stopped: 1 evaluations" in capsys.readouterr().out


def test_pruning_keeps_the_best_checkpoint(worse_and_worse, packed, tiny, tmp_path):
    config = tiny(steps=8, eval_every=2, eval_images=20, save_every=1, keep=1)
    fit(config, packed, tmp_path / "run", CPU)
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["best.safetensors", "step-00000008.safetensors"]


def test_the_log_says_what_scores_were_computed_in(evaluated):
    config, run = evaluated
    lines = read_metrics(run)
    assert any("eval/frechet" in line for line in lines)
    for line in lines:
        if "eval/frechet" in line:
            expected = describe_computation(torch.device("cpu"), config.precision)
            assert line["scored_in"] == expected and expected["precision"] in ("fp32", "bf16")
        else:
            assert "scored_in" not in line


def test_another_score_forgets_the_best_evaluation(tiny, evaluated):
    config, run = evaluated
    found = latest_checkpoint(run)
    state = found.header["best"]
    assert BestEvaluation.of(config, state).value == state["value"]
    assert BestEvaluation.of(tiny(best_by="coverage", eval_images=40), state).value is None


@pytest.mark.parametrize("nonsense", [{"by": 3, "odd": 1}, {"value": "x"}, {"misses": -1}, 7])
def test_an_invalid_best_evaluation_is_a_damaged_checkpoint(tiny, evaluated, nonsense):
    _, run = evaluated
    found = latest_checkpoint(run)
    bad = found.header["best"] | nonsense if isinstance(nonsense, dict) else nonsense
    broken = checkpoint.Checkpoint(found.path, found.header | {"best": bad})
    with pytest.raises(UserError, match="not a usable checkpoint"):
        check_resumable(broken)


def test_images_per_second_exclude_evaluations(tiny, packed, tmp_path, monkeypatch):
    """By a clock of the test's: a step takes 2 s, an evaluation 100 s, nothing else any time."""
    clock = [0.0]
    monkeypatch.setattr(recorder, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    update, scores = Trainer.update, periodic_evaluation.Evaluator.scores

    def slow_update(self, *batches, **options):
        clock[0] += 2
        return update(self, *batches, **options)

    def slow_scores(self, G):
        clock[0] += 100
        return scores(self, G)

    monkeypatch.setattr(Trainer, "update", slow_update)
    monkeypatch.setattr(periodic_evaluation.Evaluator, "scores", slow_scores)
    config = tiny(steps=6, log_every=1, eval_every=2, eval_images=20)
    fit(config, packed, tmp_path / "run", CPU)
    lines = list(map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()))
    assert [line["images_per_second"] for line in lines] == [config.batch_size / 2] * 6
    assert [line["seconds"] for line in lines] == [2, 104, 106, 208, 210, 312]


def test_too_few_images_to_evaluate_are_refused_before_training(
    tiny, packed, tmp_path, monkeypatch
):
    few = dataclasses.replace(packed, images=packed.images[:8])
    with pytest.raises(UserError, match="too few"):
        fit(tiny(eval_every=2), few, tmp_path / "run", CPU)
