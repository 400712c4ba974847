"""Non-finite numbers: who is named, what is kept, and how a run goes on after them."""

import gc
import json
import math
import weakref

import pytest
import torch
from safetensors.torch import load_file

from dcgan import cli
from dcgan.errors import UserError
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.layout import best_checkpoint_path, checkpoint_path, list_checkpoints
from dcgan.training import loop
from dcgan.training.batches import BatchLoader
from dcgan.training.monitoring import Diverged, NonFiniteGuard, names_of_non_finite
from dcgan.training.periodic_evaluation import Evaluator
from dcgan.training.trainer import Trainer
from tests.conftest import fit

CPU = torch.device("cpu")
GOOD, NAN, INF = torch.tensor(1.0), torch.tensor(math.nan), torch.tensor(math.inf)


def guard_after(
    *steps: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
) -> NonFiniteGuard:
    """A guard after steps of D's loss and gradient norm, and G's loss and gradient norm."""
    guard = NonFiniteGuard(CPU)
    for loss_D, norm_D, loss_G, norm_G in steps:
        guard.check_D(loss_D, norm_D)
        guard.check_G(loss_G, norm_G)
    return guard


FINE = (GOOD, GOOD, GOOD, GOOD)


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
@pytest.mark.parametrize("after", [(), (FINE,), ((NAN,) * 4, FINE), ((GOOD, GOOD, NAN, NAN),) * 7])
def test_the_first_non_finite_step_and_its_network_are_named(good, first, network, after):
    guard = guard_after(*[FINE] * good, first, *after)
    with pytest.raises(Diverged, match=f"^{network} is not finite in step {100 + good + 1}$"):
        guard.raise_if_found(100 + good + 1 + len(after), {"G.w": torch.ones(2)})


def test_a_failure_on_another_process_is_raised_here_too():
    """Or it would go back alone: `found_non_finite` is shared by all at the end of a step."""
    guard = guard_after(FINE)
    guard.found_non_finite.fill_(1.0)
    with pytest.raises(Diverged, match=r"not finite in step 7$"):
        guard.raise_if_found(7, {"D.w": GOOD})


def test_huge_finite_numbers_raise_nothing():
    huge = torch.tensor(3e38)
    guard_after(FINE, (huge, GOOD, -huge, GOOD)).raise_if_found(
        2, {"D.w": huge, "G.n": torch.tensor(3)}
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_non_finite_number_is_found_anywhere_in_a_tensor(bad):
    nchw = torch.full((3, 5, 4, 4), 1e38).to(memory_format=torch.channels_last)
    bad_tensor = nchw.clone()
    bad_tensor[2, 4, 3, 3] = bad
    tensors = {"a": nchw, "b": bad_tensor, "c": torch.tensor(bad), "d": torch.tensor(7)}
    assert names_of_non_finite(tensors) == ["b", "c"]
    with pytest.raises(Diverged, match=r"^G is not finite in step 9$"):
        guard_after(FINE).raise_if_found(9, {"D.w": nchw, "G.w": bad_tensor})


class Poisoned(BatchLoader):
    """Batches with non-finite images, or latents, in one step."""

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
    """The failure is found at the next line of the log, and the networks are saved apart."""
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
    for name in learnt:
        assert torch.equal(kept[name], good[name]), name
    assert not (tmp_path / "run" / "metrics.jsonl").exists(), "no line of the log was due"


def test_a_rollback_continues_from_the_last_checkpoint_with_half_the_learning_rates(
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
    # The learning rates stay halved when the run is resumed.
    fit(tiny(steps=14, log_every=2, on_nan="rollback"), packed, tmp_path / "run", CPU)
    assert logged(tmp_path / "run")[-1]["lr_D"] == config.lr_D / 4


def test_a_rollback_frees_the_diverged_trainer_before_it_makes_another(
    tiny, packed, tmp_path, poison, monkeypatch
):
    """Two may not fit in the memory of a GPU."""
    made, alive = [], []
    make_trainer = loop.make_trainer

    def watched(*args):
        alive.append(sum(trainer() is not None for trainer in made))
        trainer = make_trainer(*args)
        made.append(weakref.ref(trainer))
        return trainer

    monkeypatch.setattr(loop, "make_trainer", watched)
    poison("real", 5, until=2)
    gc.collect()
    fit(tiny(steps=6, on_nan="rollback"), packed, tmp_path / "run", CPU)
    assert alive == [0, 0, 0]


@pytest.mark.parametrize(
    "options", [{}, dict(accumulate=2, d_steps=2), dict(spectral_norm=True, augment_p="adaptive")]
)
def test_a_trainer_is_in_no_reference_cycle(tiny, packed, options):
    """Its memory would wait for the garbage collector, which does not know how much it is."""

    def step() -> list[weakref.ref]:
        ours = Trainer(tiny(**options), CPU)
        batches = BatchLoader(packed.images, ours.config, CPU)
        ours.update(*(batches.at(number) for number in range(ours.config.d_steps)))
        moment = ours.opt_D.state[next(ours.D.parameters())]["exp_avg"]
        return [weakref.ref(it) for it in (ours, ours.G, ours.D, ours.opt_D, moment)]

    step()  # imports that torch puts off keep frames in cycles
    gc.collect()
    gc.disable()
    try:
        assert [it() is None for it in step()] == [True] * 5
    finally:
        gc.enable()


def test_a_rollback_equals_a_resume_with_half_the_learning_rates(tiny, packed, tmp_path, poison):
    config = tiny(steps=6, save_every=3)
    poison("z", 5, until=1)
    path = fit(tiny(steps=6, save_every=3, on_nan="rollback"), packed, tmp_path / "back", CPU)
    fit(tiny(steps=3), packed, tmp_path / "plain", CPU)
    half = dict(lr_G=config.lr_G / 2, lr_D=config.lr_D / 2)
    poison("z", 0)
    plain = load_file(fit(tiny(steps=6, **half), packed, tmp_path / "plain", CPU))
    back = load_file(path)
    assert back.keys() == plain.keys() and len(plain) > 50
    for name in plain:
        assert torch.equal(back[name], plain[name]), name


def test_the_best_checkpoint_survives_a_rollback(tiny, packed, tmp_path, poison, monkeypatch):
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


def test_a_rollback_without_a_checkpoint_starts_again(tiny, packed, tmp_path, poison):
    poison("z", 2, until=1)
    fit(tiny(steps=4, save_every=4, on_nan="rollback"), packed, tmp_path / "run", CPU)
    assert find_checkpoint(tmp_path / "run").step == 4
    assert [line["step"] for line in logged(tmp_path / "run")] == [2, 4]


def test_training_ends_after_three_rollbacks(tiny, packed, tmp_path, poison, capsys):
    poison("z", 5)
    with pytest.raises(UserError, match=r"G is not finite in step 5, after 3 rollbacks.*00000004"):
        fit(tiny(on_nan="rollback"), packed, tmp_path / "run", CPU)
    err = capsys.readouterr().err
    assert [err.count(f"with 1/{n} of --lr-G") for n in (2, 4, 8, 16)] == [1, 1, 1, 0]
    assert find_checkpoint(tmp_path / "run").step == 4


@pytest.mark.parametrize("on_nan", ["stop", "rollback"])
def test_a_run_that_diverges_ends_with_one_line(packed, tmp_path, capsys, on_nan):
    run = tmp_path / "run"
    flags = ["--steps", "40", "--width", "4", "--batch-size", "8", "--device", "cpu"]
    flags += ["--r1", "1e38", "--save-every", "2", "--on-nan", on_nan]
    assert cli.main(["train", "--data", str(packed.folder), "--out", str(run), *flags]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    tried = ", after 3 rollbacks" if on_nan == "rollback" else ""
    assert line.startswith(f"dcgan: D is not finite in step 1{tried}. {run}/diverged holds")
    assert "the last good checkpoint is none" in line
    assert not list_checkpoints(run)
