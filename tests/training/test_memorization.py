import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dcgan.config import TrainConfig
from dcgan.data import open_packed, split_images
from dcgan.errors import UserError
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.training import loop
from dcgan.training.adaptive_augmentation import _RAMP_IMAGES, MEMORIZATION_TARGET
from dcgan.training.memorization import (
    _DECAY,
    _EVERY,
    Memorization,
)
from dcgan.training.preparation import make_batches, make_trainer
from dcgan.training.resume import config_of_run
from tests.conftest import fit, write_packed
from tests.processes import in_processes
from tests.training.test_trainer import logged, state

CPU = torch.device("cpu")
SHARE = 0.4  # 20 of the 50 images of the fixture


def means(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value) for value in values]


@given(st.floats(-100, 100), st.floats(0.1, 10))
def test_the_ratio_places_held_out_images_between_training_images_and_fakes(zero, scale):
    """Wherever the zero of D is, and whatever its scale."""
    for held_out, expected in ((3.0, 0.0), (1.0, 0.5), (-1.0, 1.0), (-9.0, 1.0), (5.0, -0.5)):
        ours = Memorization(CPU)
        ours.add(*means(*(scale * value + zero for value in (3.0, held_out, -1.0))))
        assert ours.ratio().item() == pytest.approx(expected, abs=1e-4)


def test_the_ratio_is_of_running_means():
    ours = Memorization(CPU)
    ours.add(*means(2.0, 1.0, -2.0))
    ours.add(*means(4.0, 1.0, -1.0))
    numerator, denominator = _DECAY * 1 + (1 - _DECAY) * 3, _DECAY * 4 + (1 - _DECAY) * 5
    assert ours.ratio().item() == pytest.approx(numerator / denominator)


def test_the_ratio_is_zero_while_D_does_not_tell_real_from_fake():
    ours = Memorization(CPU)
    assert ours.ratio() == 0
    ours.add(*means(1.0, 2.0, 1.0))
    assert ours.ratio() == 0
    ours.add(*means(1.0, 2.0, 3.0))
    assert ours.ratio() == 0


@pytest.mark.parametrize("few", [True, False])
def test_a_D_that_learns_its_images_by_heart_is_told_from_one_that_generalises(few):
    """A linear D of 16 images in 256 dimensions, or of new ones in every step; all are noise, the
    real ones around a mean of their own.
    """
    torch.manual_seed(0)
    shift, w, ours = 0.15 * torch.randn(256), torch.zeros(256), Memorization(CPU)
    kept = torch.randn(16, 256) + shift
    for _ in range(300):
        real = kept if few else torch.randn(16, 256) + shift
        held_out, fake = torch.randn(16, 256) + shift, torch.randn(16, 256)
        ours.add(*((images @ w).mean() for images in (real, held_out, fake)))
        w += 0.002 * ((fake @ w - real @ w).sigmoid() @ (real - fake))
    assert (ours.ratio() > 0.6) == few
    assert (ours.ratio() < 0.25) == (not few)


def test_a_D_that_knows_its_images_by_heart_is_reported(
    tiny, packed, tmp_path, monkeypatch, capsys
):
    """Fakes are noise like the images, so that D has nothing else to learn."""

    def draw_noise(G, args, images):
        return 2 * torch.rand_like(images) - 1 + 0 * images

    def make_drawing_noise(*args):
        trainer = make_trainer(*args)
        trainer.G.register_forward_hook(draw_noise)
        return trainer

    monkeypatch.setattr(loop, "make_trainer", make_drawing_noise)
    options = dict(held_out_share=SHARE, augment_p=0, width=16, lr_D=3e-3, steps=300, log_every=40)
    fit(tiny(**options, r1=0.01, r2=0.01), packed, tmp_path / "run", CPU)
    assert logged(tmp_path / "run")[-1]["memorization"] > 0.7
    assert "D memorises the training images" in capsys.readouterr().err


@pytest.fixture
def numbered(tmp_path):
    """50 images, filled with their number."""
    images = np.broadcast_to(np.arange(50)[:, None, None, None], (50, 16, 16, 3))
    return open_packed(write_packed(tmp_path / "numbered", images.astype(np.uint8)))


def numbers(batch) -> set[int]:
    return set(((batch.real[:, 0, 0, 0] + 1) * 127.5).round().int().tolist())


def test_training_shows_all_images_but_the_held_out_ones(tiny, numbered):
    config = tiny(held_out_share=SHARE)
    trainer = make_trainer(numbered, config, CPU)
    batches = make_batches(trainer, numbered)
    shown = set().union(*(numbers(next(batches)) for _ in range(4)))  # 32 of 30
    scored = [trainer.augment.memorization.batch(step) for step in range(40 * _EVERY)]
    assert [step for step, batch in enumerate(scored) if batch] == [*range(0, 40 * _EVERY, _EVERY)]
    held_out = set().union(*(numbers(batch) for batch in scored if batch))
    assert held_out == set(split_images(50, SHARE, config.seed)[1].tolist())
    assert shown == set(range(50)) - held_out


def trained(config: TrainConfig, packed, steps: int):
    trainer = make_trainer(packed, config, CPU)
    batches = make_batches(trainer, packed)
    return trainer, [trainer.update(next(batches), stop=()) for _ in range(steps)]


@pytest.mark.parametrize("options", [{}, dict(batch_norm_D=True), dict(minibatch_std=True)])
def test_scoring_held_out_images_changes_nothing_else(tiny, packed, options):
    config = tiny(held_out_share=SHARE, augment_p=0.5, **options)
    ours, _ = trained(config, packed, 3)
    blind = make_trainer(packed, config, CPU)
    batches = make_batches(blind, packed)
    blind.augment.memorization.held_out = None
    for _ in range(3):
        blind.update(next(batches))
    assert ours.augment.memorization.means.any() and not blind.augment.memorization.means.any()
    expected = blind.tensors() | {"memorization.means": ours.augment.memorization.means}
    assert all(torch.equal(value, expected[name]) for name, value in ours.tensors().items())


def test_the_logged_ratio_is_of_the_same_D_and_of_held_out_images(tiny, packed):
    config = tiny(held_out_share=SHARE)
    trainer = make_trainer(packed, config, CPU)
    batches = make_batches(trainer, packed)
    for step in range(_EVERY + 1):
        batch, scored = next(batches), trainer.augment.memorization.batch(step)
        if scored:
            with torch.no_grad():
                fake = trainer.G(batch.z)  # in training mode: of this batch's statistics
                logits = [trainer.D(x).mean() for x in (batch.real, scored.real, fake)]
            trainer.augment.memorization.means.zero_()  # no running mean
        scalars = trainer.update(batch)
        if scored:
            expected = (logits[0] - logits[1]) / (logits[0] - logits[2])
            expected = expected.clamp(-1, 1) if logits[0] > logits[2] else torch.zeros(())
            torch.testing.assert_close(scalars["memorization"], expected, rtol=1e-3, atol=1e-3)


def test_augmentation_follows_the_ratio_where_images_are_held_out(tiny, packed, tmp_path):
    fit(tiny(log_every=1, steps=40, held_out_share=SHARE, lr_D=0.01), packed, tmp_path / "run", CPU)
    lines, p = logged(tmp_path / "run"), 0.0
    for line in lines:
        p = min(
            max(p + np.sign(line["memorization"] - MEMORIZATION_TARGET) * 8 / _RAMP_IMAGES, 0), 1
        )
        assert line["augment_p"] == pytest.approx(p, abs=1e-7)
    assert len({line["memorization"] for line in lines}) > 1


def test_runs_with_held_out_images_resume_bit_for_bit(tiny, packed, tmp_path):
    options = dict(held_out_share=SHARE, augment_p="adaptive")
    for name, ends in (("whole", (20,)), ("parts", (11, 20))):
        for steps in ends:
            fit(tiny(**options, steps=steps), packed, tmp_path / name, CPU)
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert whole["memorization.means"].any()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_run_of_before_the_option_goes_on_with_all_its_images(tiny, packed, tmp_path):
    run = tmp_path / "run"
    fit(tiny(steps=2, held_out_share=0), packed, run, CPU)
    found = find_checkpoint(run)
    del found.header["config"]["held_out_share"]
    checkpoint.save(found.path, found.header, found.tensors(""))
    assert config_of_run(run).held_out_share == 0
    with pytest.raises(UserError, match=r"--held-out-share 0\.0, not 0\.02"):
        loop.checkpoint_to_resume(tiny(steps=4), run)


def ratios(config: TrainConfig, folder) -> torch.Tensor:
    return torch.stack(
        [each["memorization"] for each in trained(config, open_packed(folder), 3)[1]]
    )


def scoring_main(rank: int, config, folder, expected, environment) -> None:
    os.environ |= environment | {"RANK": str(rank)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    torch.testing.assert_close(ratios(config, folder), expected, rtol=1e-3, atol=1e-3)
    torch.distributed.barrier()


@pytest.mark.slow
def test_processes_score_the_held_out_images_together(tiny, packed):
    config = tiny(batch_size=16, held_out_share=SHARE, ema_images=0)
    in_processes(scoring_main, config, packed.folder, ratios(config, packed.folder))
