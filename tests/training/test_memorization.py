import copy
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.config import TrainConfig
from dcgan.data import open_packed, split_images
from dcgan.errors import UserError
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.training import loop
from dcgan.training.adaptive_augmentation import _RAMP_IMAGES, MEMORIZATION_TARGET
from dcgan.training.batches import BatchLoader
from dcgan.training.memorization import (
    _DECAY,
    _EVERY,
    Memorization,
)
from dcgan.training.preparation import make_batches, make_trainer
from dcgan.training.resume import config_of_run
from dcgan.training.trainer import Trainer
from tests.conftest import fit, write_packed
from tests.processes import in_processes
from tests.training.test_trainer import logged, state

CPU = torch.device("cpu")
SHARE = 0.5
# A D that soon knows the images of `packed` by heart, if fakes are noise too.
MEMORISING = dict(width=16, batch_size=16, lr_D=3e-3, r1=0.01, r2=0.01, held_out_share=SHARE)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """200 noise images, of which SHARE holds out 100."""
    images = np.random.default_rng(0).integers(0, 256, (200, 16, 16, 3), dtype=np.uint8)
    return open_packed(write_packed(tmp_path_factory.mktemp("packed") / "noise", images))


def means(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value) for value in values]


@settings(deadline=None)
@given(st.floats(-100, 100), st.floats(0.1, 10))
def test_the_ratio_places_held_out_images_between_training_images_and_fakes(zero, scale):
    """Wherever the zero of D is, and whatever its scale."""
    for held_out, expected in ((3.0, 0.0), (1.0, 0.5), (-1.0, 1.0), (-9.0, 1.0), (5.0, -0.5)):
        ours = Memorization(CPU)
        logits = (scale * value + zero for value in (3.0, held_out, -1.0))
        ours.add(*means(*logits, 2 * scale))
        assert ours.ratio().item() == pytest.approx(expected, abs=1e-4)


def test_the_ratio_is_of_running_means():
    ours = Memorization(CPU)
    ours.add(*means(2.0, 1.0, -2.0, 1.0))
    ours.add(*means(4.0, 1.0, -1.0, 1.0))
    numerator, denominator = _DECAY * 1 + (1 - _DECAY) * 3, _DECAY * 4 + (1 - _DECAY) * 5
    assert ours.ratio().item() == pytest.approx(numerator / denominator)


def test_the_ratio_is_zero_while_D_hardly_tells_real_from_fake():
    """Where fakes are half a deviation of the logits away, or less, it would be noise."""
    for fake, deviation, expected in ((0.9, 1.9, 0.5), (0.9, 2.1, 0), (2.0, 1.0, 0), (3.0, 1.0, 0)):
        ours = Memorization(CPU)
        assert ours.ratio() == 0
        ours.add(*means(1.9, 1.4, fake, deviation))
        assert ours.ratio().item() == pytest.approx(expected)


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
        logits = [images @ w for images in (real, held_out, fake)]
        ours.add(*(each.mean() for each in logits), logits[0].std())
        w += 0.002 * ((fake @ w - real @ w).sigmoid() @ (real - fake))
    assert (ours.ratio() > 0.6) == few
    assert (ours.ratio() < 0.25) == (not few)


@pytest.fixture
def noise_as_fakes(monkeypatch):
    """G draws noise like the images, so that D has nothing to learn but the images themselves."""
    directions = 1e3 * torch.randn(8, 3 * 16 * 16, generator=torch.Generator().manual_seed(0))

    def draw_noise(G, args, images):
        return 2 * (args[0] @ directions).frac().abs().view_as(images) - 1 + 0 * images

    def make_drawing_noise(*args):
        trainer = make_trainer(*args)
        trainer.G.register_forward_hook(draw_noise)
        return trainer

    monkeypatch.setattr(loop, "make_trainer", make_drawing_noise)


def test_a_D_that_knows_its_images_by_heart_is_reported(
    tiny, packed, tmp_path, noise_as_fakes, capsys
):
    config = tiny(**MEMORISING, augment_p=0, steps=340, log_every=40)
    fit(config, packed, tmp_path / "run", CPU)
    assert logged(tmp_path / "run")[-1]["memorization"] > 0.7
    assert "D memorises the training images" in capsys.readouterr().err


@pytest.fixture
def numbered(tmp_path):
    """256 images, filled with their number."""
    images = np.broadcast_to(np.arange(256)[:, None, None, None], (256, 16, 16, 3))
    return open_packed(write_packed(tmp_path / "numbered", images.astype(np.uint8)))


def numbers(batch) -> set[int]:
    return set(((batch.real[:, 0, 0, 0] + 1) * 127.5).round().int().tolist())


def test_training_shows_all_images_but_the_held_out_ones(tiny, numbered):
    config = tiny(held_out_share=SHARE)
    trainer = make_trainer(numbered, config, CPU)
    batches = make_batches(trainer, numbered)
    shown = set().union(*(numbers(next(batches)) for _ in range(16)))  # 128 of 128
    scored = [trainer.augment.memorization.batch(step) for step in range(300 * _EVERY)]
    assert [step for step, batch in enumerate(scored) if batch] == [*range(0, 300 * _EVERY, _EVERY)]
    held_out = set().union(*(numbers(batch) for batch in scored if batch))
    assert held_out == set(split_images(256, SHARE, config.seed)[1].tolist())
    assert shown == set(range(256)) - held_out


def trained(config: TrainConfig, packed, steps: int):
    trainer = make_trainer(packed, config, CPU)
    trainer.G.eval()  # its images must not depend on the rest of the batch
    batches = make_batches(trainer, packed)
    for _ in range(steps):
        trainer.update(next(batches), held_out=trainer.held_out_batch())
    return trainer


@pytest.mark.parametrize("name", ["", "batch_norm_D", "minibatch_std", "spectral_norm"])
def test_scoring_held_out_images_changes_nothing_else(tiny, packed, name):
    config = tiny(held_out_share=SHARE, augment_p=0.5, **({name: True} if name else {}))
    ours = trained(config, packed, 3)
    blind = make_trainer(packed, config, CPU)
    blind.G.eval()
    batches = make_batches(blind, packed)
    for _ in range(3):
        blind.update(next(batches))
    assert ours.augment.memorization.means.any() and not blind.augment.memorization.means.any()
    expected = blind.tensors() | {"memorization.means": ours.augment.memorization.means}
    assert all(torch.equal(value, expected[name]) for name, value in ours.tensors().items())


@pytest.mark.parametrize(
    "options",
    [{}, dict(batch_norm_D=True, accumulate=4), dict(minibatch_std=True, accumulate=2, d_steps=2)],
    ids=str,
)
def test_the_means_are_of_the_same_D_and_of_the_same_groups_of_images(tiny, packed, options):
    """Batch norm, and the deviation of a minibatch, are of a micro-batch each."""
    config = tiny(held_out_share=SHARE, augment=(), **options)
    trainer = make_trainer(packed, config, CPU)
    batches = make_batches(trainer, packed)
    for step in range(_EVERY + 1):
        of_step = [next(batches) for _ in range(config.d_steps)]
        scored = trainer.held_out_batch()
        assert bool(scored) == (step % _EVERY == 0)
        if scored:
            D, G = copy.deepcopy(trainer.D), copy.deepcopy(trainer.G)
            with torch.no_grad():
                parts = [
                    torch.cat([D(part) for part in images.chunk(config.accumulate)])
                    for images in (
                        of_step[0].real,
                        scored.real,
                        torch.cat([G(z) for z in of_step[0].z.chunk(config.accumulate)]),
                    )
                ]
            train, held_out, fake = (logits.mean() for logits in parts)
            expected = torch.stack([train - held_out, train - fake, parts[0].var()])
            trainer.augment.memorization.means.zero_()  # no running mean
        trainer.update(*of_step, held_out=scored)
        if scored:
            found = trainer.augment.memorization.means
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_augmentation_follows_the_ratio_where_images_are_held_out(
    tiny, packed, tmp_path, noise_as_fakes
):
    fit(tiny(**MEMORISING, steps=100, log_every=1), packed, tmp_path / "run", CPU)
    lines, p = logged(tmp_path / "run"), 0.0
    for line in lines:
        sign = np.sign(line["memorization"] - MEMORIZATION_TARGET)
        p = min(max(p + sign * 16 / _RAMP_IMAGES, 0), 1)
        assert line["augment_p"] == pytest.approx(p, abs=1e-6)
    assert lines[0]["augment_p"] == 0 < lines[-1]["augment_p"]


def test_runs_with_held_out_images_resume_bit_for_bit(tiny, packed, tmp_path, noise_as_fakes):
    for name, ends in (("whole", (100,)), ("parts", (75, 100))):
        for steps in ends:
            fit(tiny(**MEMORISING, steps=steps), packed, tmp_path / name, CPU)
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert whole["augment.p"] > 0
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_an_unreadable_held_out_image_loses_no_step(tiny, packed, tmp_path, monkeypatch):
    """A disk that fails while D scores held-out images."""
    load = BatchLoader.at

    def broken(loader, step):
        if step == 2 * _EVERY:
            raise UserError("the disk has failed")
        return load(loader, step)

    monkeypatch.setattr(BatchLoader, "at", broken)
    config = tiny(held_out_share=SHARE, steps=3 * _EVERY, save_every=1000)
    with pytest.raises(UserError, match="the disk has failed"):
        fit(config, packed, tmp_path / "run", CPU)
    assert find_checkpoint(tmp_path / "run").step == 2 * _EVERY


def test_an_error_in_the_middle_of_a_step_is_not_saved(tiny, packed, tmp_path, monkeypatch):
    """As when another process is gone: D has made the step, and G has not."""
    g_step = Trainer.g_step

    def broken(trainer, *args):
        if trainer.step == 3:
            raise UserError("another process is gone")
        return g_step(trainer, *args)

    monkeypatch.setattr(Trainer, "g_step", broken)
    with pytest.raises(UserError, match="another process is gone"):
        fit(tiny(steps=9, save_every=2), packed, tmp_path / "run", CPU)
    assert find_checkpoint(tmp_path / "run").step == 2


def test_a_run_of_before_the_option_goes_on_with_all_its_images(tiny, packed, tmp_path):
    run = tmp_path / "run"
    fit(tiny(steps=2, held_out_share=0), packed, run, CPU)
    found = find_checkpoint(run)
    del found.header["config"]["held_out_share"]
    checkpoint.save(found.path, found.header, found.tensors(""))
    assert config_of_run(run).held_out_share == 0
    with pytest.raises(UserError, match=r"--held-out-share 0\.0, not 0\.02"):
        loop.checkpoint_to_resume(tiny(steps=4), run)


def means_after_two_scores(config: TrainConfig, folder) -> torch.Tensor:
    return trained(config, open_packed(folder), _EVERY + 1).augment.memorization.means


def scoring_main(rank: int, config, folder, expected, environment) -> None:
    os.environ |= environment | {"RANK": str(rank)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    torch.testing.assert_close(
        means_after_two_scores(config, folder), expected, rtol=1e-3, atol=1e-3
    )
    torch.distributed.barrier()


@pytest.mark.slow
def test_processes_score_the_held_out_images_together(tiny, packed):
    config = tiny(batch_size=16, held_out_share=SHARE, ema_images=0)
    in_processes(scoring_main, config, packed.folder, means_after_two_scores(config, packed.folder))
