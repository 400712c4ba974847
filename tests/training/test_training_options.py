"""What the options of losses and optimization change in a step, and over a resume."""

import json
import shutil
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dcgan.errors import UsageError, UserError
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.loading import load_discriminator, load_generator
from dcgan.training import loop, trainer
from dcgan.training.batches import Batch, BatchLoader
from dcgan.training.optimizer import make_adam
from dcgan.training.periodic_tasks import PeriodicTasks
from dcgan.training.run_state import RunState
from dcgan.training.trainer import Trainer
from tests.conftest import PLAIN, fit
from tests.training.test_trainer import logged, state

CPU = torch.device("cpu")


def start(config, packed) -> tuple[Trainer, Batch]:
    """A trainer in float64, and its first batch."""
    ours = Trainer(config, CPU)
    for network in (ours.G, ours.D):
        network.double()
    ours.opt_G = make_adam(ours.G, config.lr_G, config)
    ours.opt_D = make_adam(ours.D, config.lr_D, config)
    batch = BatchLoader(packed.images, config, CPU).at(0)
    return ours, Batch._make(tensor.double() for tensor in batch)


def mean_of_parts(loss, count: int):
    """The mean of a loss over consecutive parts of the real and of the fake logits."""

    def mean(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        parts = zip(real.chunk(count), fake.chunk(count), strict=True)
        return torch.stack([loss(*part) for part in parts]).mean()

    return mean


def gradients(network) -> list[torch.Tensor]:
    return [p.grad.clone() for p in network.parameters()]


@pytest.mark.parametrize("loss", ["relativistic", "non-saturating"])
@pytest.mark.parametrize("penalties", [dict(r1=2, r2=2), dict(gradient_penalty=10)])
def test_micro_batches_add_up_to_the_gradients_of_the_batch(tiny, packed, loss, penalties):
    """Of the same fake images: G's own batch norm sees each part by itself. Real images are
    compared with the fake ones of their part.
    """
    config = tiny(accumulate=4, loss=loss, augment_p=0.5, **penalties)
    ours, batch = start(config, packed)
    whole, _ = start(config, packed)
    whole.loss = whole.loss._replace(G=mean_of_parts(whole.loss.G, 4))
    whole.loss_D = mean_of_parts(whole.loss_D, 4)
    parts, again = ours.generate_fakes(batch), whole.generate_fakes(batch)
    assert [len(part.real) for part, _ in parts] == [2] * 4
    together = [(batch, torch.cat([fake for _, fake in again]))]
    ours_found, ours_logits = ours.d_step(parts, penalized=True)
    found, logits = whole.d_step(together, penalized=True)
    torch.testing.assert_close(torch.cat(ours_logits), *logits)
    for step in ("d_step", "g_step"):
        if step == "g_step":
            ours_found, found = ours.g_step(parts, ours_logits), whole.g_step(together, logits)
        for name in {"loss_D", "loss_G", "grad_norm_D", "grad_norm_G"} & set(found):
            torch.testing.assert_close(ours_found[name], found[name], msg=name)
        for network in ("D", "G") if step == "g_step" else ("D",):
            for a, b in zip(
                gradients(getattr(ours, network)), gradients(getattr(whole, network)), strict=True
            ):
                torch.testing.assert_close(a, b)


def test_the_copy_of_the_fakes_for_diagnostics_is_freed_before_the_step_of_g(
    tiny, packed, monkeypatch
):
    copies, alive = [], []
    diagnostics, g_step = trainer.image_diagnostics, Trainer.g_step

    def watched_diagnostics(real, fake):
        copies.append(weakref.ref(fake))
        return diagnostics(real, fake)

    def watched_g_step(*args):
        alive.append([copy() is not None for copy in copies])
        return g_step(*args)

    monkeypatch.setattr(trainer, "image_diagnostics", watched_diagnostics)
    monkeypatch.setattr(Trainer, "g_step", watched_g_step)
    ours, batch = start(tiny(accumulate=2), packed)
    ours.d_and_g_step(batch)
    assert alive == [[False]]


def test_each_d_step_has_a_batch_of_its_own(tiny, packed, tmp_path, monkeypatch):
    config = tiny(d_steps=2, steps=5, save_every=2)
    seen = []
    d_step = Trainer.d_step

    def watched(self, parts, penalized):
        seen.append(parts[0][0])
        return d_step(self, parts, penalized)

    monkeypatch.setattr(Trainer, "d_step", watched)
    fit(config, packed, tmp_path / "whole", CPU)
    batches = BatchLoader(packed.images, config, CPU)
    assert len(seen) == 10
    for number, batch in enumerate(seen):
        for ours, theirs in zip(batch, batches.at(number), strict=True):
            assert torch.equal(ours, theirs), number
    for steps in (2, 3, 5):
        fit(tiny(d_steps=2, steps=steps, save_every=2), packed, tmp_path / "parts", CPU)
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    for found in (whole, parts):
        adam = {name: int(v) for name, v in found.items() if ".step." in name}
        assert {v for name, v in adam.items() if name.startswith("opt_G")} == {5}
        assert {v for name, v in adam.items() if name.startswith("opt_D")} == {10}
    with pytest.raises(UserError, match="--d-steps 2, not 1"):
        fit(tiny(steps=9), packed, tmp_path / "parts", CPU)


@pytest.mark.parametrize(
    ("law", "factors"),
    [
        ("none", [1] * 6),
        ("linear", [1 - s / 6 for s in range(6)]),
        ("cosine", [(1 + np.cos(np.pi * s / 6)) / 2 for s in range(6)]),
    ],
)
def test_learning_rates_decay_and_resume(tiny, packed, tmp_path, law, factors):
    config = tiny(lr_decay=law, lr_G=1e-2, lr_D=1e-3, log_every=1, save_every=2)
    fit(config, packed, tmp_path / "whole", CPU)
    lines = logged(tmp_path / "whole")
    np.testing.assert_allclose([line["lr_G"] for line in lines], 1e-2 * np.array(factors))
    np.testing.assert_allclose([line["lr_D"] for line in lines], 1e-3 * np.array(factors))
    crashed = Trainer(config, CPU)
    with PeriodicTasks(crashed, packed, tmp_path / "parts") as tasks:
        for step in range(3):
            tasks.after_step(crashed.update(BatchLoader(packed.images, config, CPU).at(step)))
    fit(config, packed, tmp_path / "parts", CPU)
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_label_smoothing_lowers_the_target_of_real_images(tiny, packed):
    ours, batch = start(tiny(**PLAIN, label_smoothing=0.1), packed)
    with torch.no_grad():
        real = ours.D(batch.real).sigmoid()
        fake = ours.D(ours.G(batch.z)).sigmoid()
    expected = F.binary_cross_entropy(real, torch.full_like(real, 0.9))
    expected += F.binary_cross_entropy(fake, torch.zeros_like(fake))
    torch.testing.assert_close(ours.d_and_g_step(batch)["loss_D"].double(), expected)


def test_lazy_penalties_are_weighted_for_their_interval(tiny, packed, tmp_path):
    every, batch = start(tiny(r1=3, r2=1, penalty_every=1), packed)
    lazy, _ = start(tiny(r1=3, r2=1, penalty_every=4), packed)
    values = []
    for ours in (every, lazy):
        images = torch.cat([batch.real, ours.G(batch.z).detach()]).requires_grad_()
        values.append(ours.penalty(batch, images, ours.discriminate(images, batch)).item())
    assert values[1] == pytest.approx(4 * values[0])

    class Counting(Trainer):
        def penalty(self, *args):
            steps.append(self.step)
            return super().penalty(*args)

    steps = []
    batches = BatchLoader(packed.images, tiny(), CPU)
    ours = Counting(tiny(penalty_every=3), CPU)
    for step in range(7):
        ours.update(batches.at(step))
    assert steps == [0, 3, 6]
    steps.clear()
    ours = Counting(tiny(loss="hinge", r1=0, r2=0), CPU)
    ours.update(batches.at(0))
    assert steps == []


@pytest.mark.parametrize(
    "options",
    [
        dict(spectral_norm=True),
        dict(minibatch_std=True, accumulate=2),
        dict(penalty_every=2, augment_p=0.5),
        dict(augment_p="adaptive", loss="wasserstein", gradient_penalty=10),
        dict(loss="hinge", batch_norm_D=True, r2=0, clip=1.01),
        dict(loss="least-squares", smooth=False, kernel_size=5),
    ],
    ids=str,
)
def test_every_recipe_resumes_bit_for_bit_and_loads(tiny, packed, tmp_path, options):
    for name, ends in (("whole", (5,)), ("parts", (3, 5))):
        for steps in ends:
            fit(tiny(**options, steps=steps), packed, tmp_path / name, CPU)
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert set(whole) == set(parts)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    ours = Trainer(tiny(**options), CPU)
    ours.load(RunState.from_checkpoint(find_checkpoint(tmp_path / "whole")))
    x = torch.rand(8, 3, 16, 16) * 2 - 1
    loaded = load_discriminator(tmp_path / "whole")
    torch.testing.assert_close(loaded(x), ours.D.eval()(x))
    assert load_generator(tmp_path / "whole")(torch.randn(2, 8)).isfinite().all()


def test_adaptive_augmentation_follows_overfitting_and_is_saved(tiny, packed, tmp_path):
    """By one batch of the ramp up or down a step, from zero; a number stays that number."""
    fit(tiny(log_every=1), packed, tmp_path / "adaptive", CPU)
    p = 0.0
    for line in logged(tmp_path / "adaptive"):
        p = min(max(p + np.sign(line["overfitting"] - 0.6) * 8 / 50_000, 0), 1)
        assert line["augment_p"] == pytest.approx(p, abs=1e-7)
    assert float(state(tmp_path / "adaptive")["augment.p"]) == pytest.approx(p, abs=1e-7)
    fit(tiny(log_every=1, augment_p=0.25), packed, tmp_path / "fixed", CPU)
    assert {line["augment_p"] for line in logged(tmp_path / "fixed")} == {0.25}


def test_a_resumed_run_takes_new_options_and_says_which(tiny, packed, tmp_path, capsys):
    """A checkpoint's strength of augmentation must not win over --augment-p."""
    first = tiny(steps=2, log_every=1, augment_p=0.25)
    fit(first, packed, tmp_path / "run", CPU)
    assert loop.checkpoint_to_resume(first, tmp_path / "run").step == 2
    assert "resumes" not in capsys.readouterr().err
    second = tiny(steps=4, log_every=1, augment_p=0.5, augment=("cutout",), r1=1.5)
    found = loop.checkpoint_to_resume(second, tmp_path / "run")
    loop.fit(second, packed, tmp_path / "run", CPU, found)
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path / 'run'} resumes from step 2 with ")
    for change in ("augment cutout (translation cutout", "augment-p 0.5 (0.25", "steps 4 (2"):
        assert f"--{change} before)" in said
    assert [line["augment_p"] for line in logged(tmp_path / "run")] == [0.25, 0.25, 0.5, 0.5]
    ours = Trainer(tiny(augment_p="adaptive"), CPU)
    ours.load(RunState.from_checkpoint(find_checkpoint(tmp_path / "run")))
    assert ours.augment.probability == 0.5, "adaptive goes on from where it was"


def test_micro_batches_must_divide_the_share_of_each_process(tiny, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(loop.distributed, "world_size", lambda: 2)
    config = tiny(data=packed.folder, out=tmp_path / "run", batch_size=12, accumulate=4)
    with pytest.raises(UsageError, match="--accumulate must be a divisor of the 6 images of each"):
        loop.train(config)
    for options, name in ((dict(batch_size=2), "batch-size"), (dict(accumulate=3), "accumulate")):
        config = tiny(data=packed.folder, out=tmp_path / "run", **{"batch_size": 6} | options)
        with pytest.raises(UsageError, match=f"--{name} must be"):
            loop.train(config)  # batch norm would see one image at a time


def test_a_run_that_stopped_before_its_first_checkpoint_may_start_again(tiny, packed, tmp_path):
    """Its folder holds a config.json, which may be of a version with fewer options."""
    fit(tiny(steps=2), packed, tmp_path / "run", CPU)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    del config["bias_D"]
    path.write_text(json.dumps(config))
    assert loop.checkpoint_to_resume(tiny(), tmp_path / "run") is None
