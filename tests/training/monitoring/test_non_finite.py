import json
import math

import pytest
import torch
from safetensors.torch import load_file

from dcgan import cli
from dcgan.errors import UserError
from dcgan.runs import checkpoint
from dcgan.runs.layout import best_checkpoint_path, checkpoint_path, list_checkpoints
from dcgan.runs.run_folder import find_checkpoint
from dcgan.training import loop
from dcgan.training.batches import BatchLoader
from dcgan.training.monitoring import Diverged, NonFiniteGuard, names_of_non_finite
from dcgan.training.periodic_evaluation import Evaluator
from dcgan.training.trainer import Trainer
from tests.conftest import fit

CPU = torch.device("cpu")
GOOD, NAN, INF = torch.tensor(1.0), torch.tensor(math.nan), torch.tensor(math.inf)


def watched(
    *steps: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
) -> NonFiniteGuard:
    """Shown D's loss and norm and G's loss and norm of every step."""
    guard = NonFiniteGuard(CPU)
    for loss_D, norm_D, loss_G, norm_G in steps:
        guard.check_D(loss_D, norm_D)
        guard.check_G(loss_G, norm_G)
    return guard


WELL = (GOOD, GOOD, GOOD, GOOD)


@pytest.mark.parametrize(
    ("first", "network"),
    [
        ((NAN, GOOD, GOOD, GOOD), "D"),
        ((GOOD, INF, GOOD, GOOD), "D"),
        ((GOOD, -INF, NAN, NAN), "D"),
        ((GOOD, GOOD, NAN, GOOD), "G"),
        ((GOOD, GOOD, GOOD, INF), "G"),
    ],
)
@pytest.mark.parametrize("good", [0, 1, 5])
@pytest.mark.parametrize("after", [(), (WELL,), ((NAN,) * 4, WELL), ((GOOD, GOOD, NAN, NAN),) * 7])
def test_the_first_step_and_the_network_are_named_whatever_comes_after(good, first, network, after):
    guard = watched(*[WELL] * good, first, *after)
    with pytest.raises(Diverged, match=f"^{network} is not finite in step {100 + good + 1}$"):
        guard.raise_if_found(100 + good + 1 + len(after), {"G.w": torch.ones(2)})


def test_what_another_process_saw_in_this_step_counts_here_too():
    """Or it would go back alone: `found_non_finite` is shared by all at the end of a step."""
    guard = watched(WELL)
    guard.found_non_finite.fill_(1.0)
    with pytest.raises(Diverged, match=r"not finite in step 7$"):
        guard.raise_if_found(7, {"D.w": GOOD})


def test_finite_numbers_are_no_news():
    huge = torch.tensor(3e38)
    watched(WELL, (huge, GOOD, -huge, GOOD)).raise_if_found(
        2, {"D.w": huge, "G.n": torch.tensor(3)}
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_found_anywhere_in_a_tensor(bad):
    nchw = torch.full((3, 5, 4, 4), 1e38).to(memory_format=torch.channels_last)
    spoilt = nchw.clone()
    spoilt[2, 4, 3, 3] = bad
    tensors = {"a": nchw, "b": spoilt, "c": torch.tensor(bad), "d": torch.tensor(7)}
    assert names_of_non_finite(tensors) == ["b", "c"]
    with pytest.raises(Diverged, match=r"^G is not finite in step 9$"):
        watched(WELL).raise_if_found(9, {"D.w": nchw, "G.w": spoilt})


class Poisoned(BatchLoader):
    """Images, or latents, of one step are not finite."""

    def __init__(self, ours: Trainer, packed, kind: str, step: int):
        super().__init__(packed.images, ours.config, ours.device)
        self.kind, self.step = kind, step

    def starting_at(self, step):
        for number, batch in enumerate(super().starting_at(step), start=step):
            poison = math.nan if number == self.step - 1 else 1.0
            yield batch._replace(**{self.kind: getattr(batch, self.kind) * poison})


@pytest.fixture
def poison(monkeypatch):
    """`poison(kind, step, until)`: as long as fewer than `until` rollbacks have been made."""

    def of(kind: str, step: int, until: int = 99):
        def make_batches(ours, packed):
            ill = step if ours.rollbacks < until else 0
            return Poisoned(ours, packed, kind, ill).starting_at(ours.step)

        monkeypatch.setattr(loop, "make_batches", make_batches)

    return of


def logged(run):
    def refuse(token):
        raise AssertionError(f"{token} in the log")

    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


@pytest.mark.parametrize(("kind", "network"), [("real", "D"), ("z", "G")])
def test_networks_stay_as_they_were_before_the_step_that_failed(
    tiny, packed, tmp_path, poison, kind, network
):
    """Found at the next line of the log, said of the right step, and kept for whoever asks why."""
    config = tiny(steps=40, log_every=10, save_every=3, keep=0)
    fit(tiny(steps=10, log_every=10, save_every=1, keep=0), packed, tmp_path / "good", CPU)
    poison(kind, 8)
    words = f"{network} is not finite in step 8.*diverged.*step-00000006.safetensors.*rollback"
    with pytest.raises(UserError, match=words):
        fit(config, packed, tmp_path / "run", CPU)
    assert [path.name for path in list_checkpoints(tmp_path / "run")] == [
        "step-00000003.safetensors",
        "step-00000006.safetensors",
    ]
    (kept,) = (tmp_path / "run" / "diverged").iterdir()
    kept, good = load_file(kept), load_file(checkpoint_path(tmp_path / "good", 7))
    learnt = [name for name in good if name.startswith(("D.", "opt_"))]
    learnt += [name for name in good if name.startswith("G.") and "running" not in name]
    learnt = [name for name in learnt if "num_batches" not in name]
    assert len(learnt) == 48
    assert all(torch.equal(kept[name], good[name]) for name in learnt)
    assert not (tmp_path / "run" / "metrics.jsonl").exists(), "no line of the log was due"


def test_rollback_goes_on_from_the_last_checkpoint_at_half_the_rates(
    tiny, packed, tmp_path, poison, capsys
):
    config = tiny(steps=12, log_every=2, save_every=3, on_nan="rollback")
    poison("real", 8, until=2)
    fit(config, packed, tmp_path / "run", CPU)
    err = capsys.readouterr().err
    assert err.count("D is not finite in step 8: back to step 6") == 2
    rates = {line["step"]: line["lr_G"] / config.lr_G for line in logged(tmp_path / "run")}
    assert rates == {2: 1, 4: 1, 6: 1, 8: 1 / 4, 10: 1 / 4, 12: 1 / 4}
    assert find_checkpoint(tmp_path / "run").header["rollbacks"] == 2
    # The rates stay halved where the run goes on later.
    fit(tiny(steps=14, log_every=2, on_nan="rollback"), packed, tmp_path / "run", CPU)
    assert logged(tmp_path / "run")[-1]["lr_D"] == config.lr_D / 4


def test_a_rollback_is_as_if_the_rates_had_been_half_from_that_checkpoint_on(
    tiny, packed, tmp_path, poison
):
    config = tiny(steps=6, save_every=3)
    poison("z", 5, until=1)
    path = fit(tiny(steps=6, save_every=3, on_nan="rollback"), packed, tmp_path / "back", CPU)
    fit(tiny(steps=3), packed, tmp_path / "plain", CPU)
    half = dict(lr_G=config.lr_G / 2, lr_D=config.lr_D / 2)
    poison("z", 0)
    plain = load_file(fit(tiny(steps=6, **half), packed, tmp_path / "plain", CPU))
    back = load_file(path)
    assert all(torch.equal(back[name], plain[name]) for name in plain)


def test_the_best_stays_what_its_file_holds(tiny, packed, tmp_path, poison, monkeypatch):
    """Though it is of steps that were gone back behind."""
    scores = iter([5.0, 3.0, 6.0, 7.0])
    monkeypatch.setattr(Evaluator, "scores", lambda *_: {"frechet": next(scores)})
    config = tiny(steps=12, save_every=6, eval_every=4, eval_images=10, on_nan="rollback")
    poison("z", 9, until=1)
    fit(config, packed, tmp_path / "run", CPU)
    best = checkpoint.read(best_checkpoint_path(tmp_path / "run"))
    assert (best.step, best.header["best"]["value"]) == (8, 3.0)
    assert best.header["rollbacks"] == 0, "at the same step of the second try it was worse"
    assert find_checkpoint(tmp_path / "run").header["best"] == {
        **best.header["best"],
        "misses": 1,
    }


def test_without_a_checkpoint_it_goes_back_to_the_beginning(tiny, packed, tmp_path, poison):
    poison("z", 2, until=1)
    fit(tiny(steps=4, save_every=4, on_nan="rollback"), packed, tmp_path / "run", CPU)
    assert find_checkpoint(tmp_path / "run").step == 4
    assert [line["step"] for line in logged(tmp_path / "run")] == [2, 4]


def test_it_gives_up_after_three_rollbacks(tiny, packed, tmp_path, poison, capsys):
    poison("z", 5)
    with pytest.raises(UserError, match=r"G is not finite in step 5, after 3 rollbacks.*00000004"):
        fit(tiny(on_nan="rollback"), packed, tmp_path / "run", CPU)
    err = capsys.readouterr().err
    assert [err.count(f"with 1/{n} of --lr-G") for n in (2, 4, 8, 16)] == [1, 1, 1, 0]
    assert find_checkpoint(tmp_path / "run").step == 4


@pytest.mark.parametrize("on_nan", ["stop", "rollback"])
def test_a_run_that_really_diverges_ends_with_one_line(packed, tmp_path, capsys, on_nan):
    run = tmp_path / "run"
    flags = ["--steps", "40", "--width", "4", "--batch-size", "8", "--device", "cpu"]
    flags += ["--r1", "1e38", "--save-every", "2", "--on-nan", on_nan]
    assert cli.main(["train", "--data", str(packed.folder), "--out", str(run), *flags]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    tried = ", after 3 rollbacks" if on_nan == "rollback" else ""
    assert line.startswith(f"dcgan: D is not finite in step 1{tried}. {run}/diverged holds")
    assert "the last good checkpoint is none" in line
    assert not list_checkpoints(run)
