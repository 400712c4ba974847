"""Runs: learning, resuming bit for bit, what is refused."""

import dataclasses
import json
import math
import os
import re
import shutil
import signal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dcgan.config import SEGMENT_PRESETS, SegmentEvaluateConfig
from dcgan.data import IGNORED
from dcgan.deconv import fcn
from dcgan.deconv.fcn.batches import SegmentationBatch
from dcgan.deconv.fcn.trainer import (
    SegmentationTrainer,
    balancing_weights,
    make_optimizer,
    segmentation_loss,
)
from dcgan.deconv.fcn.training import class_frequencies, training_rows
from dcgan.deconv.training import hold_out
from dcgan.errors import UsageError, UserError
from dcgan.runs import load_discriminator
from dcgan.runs.checkpoint import SEGMENTER
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runtime.signals import Stopped
from tests.conftest import write_packed
from tests.deconv.fcn.conftest import NAMES, draw_squares, write_masked


def tensors_of(run) -> dict[str, torch.Tensor]:
    return load_file(find_checkpoint(run, SEGMENTER).path)


@pytest.fixture
def stop_after(monkeypatch):
    """`stop_after(n)`: send SIGTERM in the n-th step that this process trains."""

    def install(number: int) -> None:
        update, done = SegmentationTrainer.update, []

        def counted(self, batch):
            done.append(None)
            if len(done) == number:
                os.kill(os.getpid(), signal.SIGTERM)
            return update(self, batch)

        monkeypatch.setattr(SegmentationTrainer, "update", counted)

    return install


RECIPES = {
    "adam": {},
    "sgd": dict(optimizer="sgd", momentum=0.9, weight_decay=1e-3, lr=0.05),
    "balanced crops": dict(class_weights="balanced", crop=9),
    "one image": dict(batch_size=1, loss_sum=True, lr=5e-3, optimizer="sgd", momentum=0.99),
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_stopped_run_ends_as_one_that_was_left_alone(tiny, tmp_path, stop_after, recipe, capsys):
    whole = tiny(steps=9, out=tmp_path / "whole", **RECIPES[recipe])
    fcn.train(whole)
    stopped = dataclasses.replace(whole, out=tmp_path / "stopped")
    stop_after(5)
    with pytest.raises(Stopped, match="stopped after step 5 of 9; the same command resumes it"):
        fcn.train(stopped)
    fcn.train(stopped)
    assert f"{stopped.out} resumes from step 5\n" in capsys.readouterr().err
    ours, theirs = tensors_of(whole.out), tensors_of(stopped.out)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_dropout_is_a_function_of_seed_and_step(tiny, tmp_path, stop_after, monkeypatch):
    """With the dropout of VGG16's dense layers: narrow ones here."""

    class Narrow(fcn.VGG16):
        def __init__(self, pad_fc6: bool):
            super().__init__(pad_fc6, widths=(2, 2, 2, 2, 2), fc_width=8)

    monkeypatch.setattr("dcgan.deconv.fcn.building.VGG16", Narrow)
    packed = write_masked(tmp_path / "large", *draw_squares(20, 32))
    whole = tiny(
        data=packed.folder, backbone="vgg16", out=tmp_path / "whole", stride=8, save_every=9
    )
    fcn.train(whole)
    stopped = dataclasses.replace(whole, out=tmp_path / "stopped")
    stop_after(3)
    with pytest.raises(Stopped):
        fcn.train(stopped)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    fcn.train(stopped)
    assert torch.equal(torch.get_rng_state(), before), "the caller's random numbers are his"
    ours, theirs = tensors_of(whole.out), tensors_of(stopped.out)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("freeze", [False, True])
def test_a_run_resumes_without_the_weights_that_it_began_with(tiny, run, tmp_path, freeze):
    """The checkpoint holds them; a GAN's run that went on has other ones by then."""
    gan = tmp_path / "gan"
    shutil.copytree(run, gan)
    whole = tiny(weights=gan, freeze=freeze, out=tmp_path / "whole", lr_decay="none")
    fcn.train(whole)
    part = dataclasses.replace(whole, out=tmp_path / "part", steps=3)
    fcn.train(part)
    shutil.rmtree(gan)
    fcn.train(dataclasses.replace(part, steps=6))
    ours, theirs = tensors_of(whole.out), tensors_of(part.out)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_it_learns_to_segment(segmenter, tmp_path):
    found = fcn.evaluate(SegmentEvaluateConfig(run=segmenter, out=tmp_path / "s.png"))
    assert found.count == 10
    assert found.scores.mean_iu > 0.9, found.scores.lines()
    assert found.counts.sum() == 10 * 16 * 16
    assert (found.predicted == found.masks).mean() > 0.95


def test_the_log_has_the_scores_of_every_class_and_pictures(tiny):
    fcn.train(tiny())
    lines = list(map(json.loads, (tiny().out / "metrics.jsonl").read_text().splitlines()))
    assert [line["step"] for line in lines] == [2, 3, 4, 6]
    assert {"loss", "lr", "mean_iu", "pixel_accuracy", "iu/red"} <= lines[-1].keys()
    tags = EventAccumulator(str(tiny().out)).Reload().Tags()["images"]
    assert {"samples/segmented", "samples/confusion"} <= set(tags)
    assert len(list((tiny().out / "samples").iterdir())) == 2


def test_the_backbone_starts_from_a_discriminator_and_stays_when_frozen(tiny, run, tmp_path):
    D = load_discriminator(run)
    config = tiny(weights=run, freeze=True, lr=0.05)
    fcn.train(config)
    blocks = fcn.load_segmenter(config.out).backbone.blocks.state_dict()
    assert all(torch.equal(blocks[n], v) for n, v in D.blocks.state_dict().items())
    tuned = tiny(weights=run, out=tmp_path / "tuned")
    fcn.train(tuned)
    moved = fcn.load_segmenter(tuned.out).backbone.blocks.state_dict()
    change = max(float((moved[n] - blocks[n]).abs().max()) for n in blocks if "weight" in n)
    assert 0 < change < 0.1, "trained on, from D's weights"


def test_the_loss_leaves_ignored_pixels_out():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, generator=generator)
    masks = torch.randint(0, 3, (2, 4, 4), generator=generator)
    masks[0, :2] = IGNORED
    known = masks != IGNORED
    nll = -logits.log_softmax(1).gather(1, masks.where(known, 0)[:, None])[:, 0]
    assert torch.allclose(segmentation_loss(logits, masks), nll[known].mean())
    assert torch.allclose(segmentation_loss(logits, masks, add_up=True), nll[known].sum())
    weights = torch.tensor([0.5, 2.0, 7.0])
    mine = (nll * weights[masks.where(known, 0)])[known].sum() / weights[masks[known]].sum()
    assert torch.allclose(segmentation_loss(logits, masks, weights), mine)
    theirs = F.cross_entropy(logits, masks, weights, ignore_index=IGNORED)
    assert torch.allclose(segmentation_loss(logits, masks, weights), theirs)
    nothing = segmentation_loss(logits, torch.full_like(masks, IGNORED))
    assert nothing == 0


def test_balancing_weights_are_median_frequencies_over_frequencies(tmp_path):
    """Class 1 fills half of each of its images, class 2 a quarter of its only one."""
    masks = np.zeros((10, 8, 8), np.uint8)
    masks[:5, :4] = 1
    masks[7, :4, :4] = 2
    masks[9, 0] = IGNORED
    images = np.zeros((10, 8, 8, 3), np.uint8)
    packed = write_masked(tmp_path / "p", images, masks, (*NAMES, "absent"))
    frequencies = class_frequencies(packed, np.arange(10))
    background = (5 * 32 + 48 + 3 * 64 + 56) / (9 * 64 + 56)
    assert frequencies.tolist() == pytest.approx([background, 0.5, 0.25, 0])
    assert balancing_weights(frequencies).tolist() == pytest.approx([0.5 / background, 1, 2, 0])


def test_sgd_follows_the_paper(tiny):
    network, _ = fcn.building.new_fcn(tiny(), 16, 3, 3)
    config = SEGMENT_PRESETS["heavy"]
    optimizer = make_optimizer(network, config, 16)
    weights, biases = optimizer.param_groups
    assert all(p.dim() == 1 for p in biases["params"])
    assert biases["lr_factor"] == 2 * weights["lr_factor"]
    named = {id(p): name for name, p in network.named_parameters()}
    assert {named[id(p)].split(".")[-1] for p in weights["params"]} == {"weight", "kernel"}
    assert weights["weight_decay"] == 5e-4
    assert (weights["momentum"], config.batch_size, biases["weight_decay"]) == (0.99, 1, 0)
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(network.parameters()))


@pytest.mark.parametrize(("batch_size", "crop"), [(1, None), (4, None), (4, 8)])
def test_a_summed_loss_takes_the_steps_of_the_mean(tiny, batch_size, crop):
    """One rate for images of any size, the number of pixels being all that differs."""
    side = crop or 16
    rng = torch.Generator().manual_seed(0)
    batch = SegmentationBatch(
        torch.rand(batch_size, 3, side, side, generator=rng) * 2 - 1,
        torch.randint(3, (batch_size, side, side), generator=rng),
    )
    networks = []
    for loss_sum in (False, True):
        config = tiny(
            optimizer="sgd", loss_sum=loss_sum, batch_size=batch_size, crop=crop, momentum=0.9
        )
        trainer = SegmentationTrainer(config, 16, 3, 3, None, torch.device("cpu"))
        for _ in range(3):
            trainer.update(batch)
        networks.append(trainer.network.state_dict())
    start = SegmentationTrainer(config, 16, 3, 3, None, torch.device("cpu")).network.state_dict()
    for name, mean in networks[0].items():
        torch.testing.assert_close(networks[1][name], mean, rtol=1e-3, atol=1e-5)
    assert any((networks[0][name] - start[name]).abs().max() > 1e-3 for name in start)


def test_the_presets_have_run_folders_of_their_own():
    """A run in the folder would be resumed with its own optimizer, whatever the preset."""
    assert len({config.out for config in SEGMENT_PRESETS.values()}) == len(SEGMENT_PRESETS)


def test_fewer_training_images_are_a_part_of_more(tiny):
    few, more = (training_rows(tiny(train_images=n), 60) for n in (5, 20))
    everything, held_out = hold_out(60, 10, 0)
    assert len(few) == 5 and set(few) < set(more) < set(everything)
    assert not set(more) & set(held_out)
    assert set(training_rows(tiny(train_images=5, seed=1), 60)) != set(few)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(stride=8), "stride 8: the backbone has maps of the strides 2, 4"),
        (dict(backbone="resnet19"), "resnet19"),
        (dict(weights="nowhere"), "nowhere: no such checkpoint or run folder"),
        (dict(backbone="resnet18", weights="nowhere"), "nowhere: no such file"),
        (dict(freeze=True), "--freeze needs --weights"),
        (dict(momentum=0.5), "--momentum is for --optimizer sgd"),
        (dict(crop=17), "--crop must be from 1 to 16, the image size, not 17"),
        (dict(data=None), "--data: name a packed folder"),
        (dict(batch_size=1, crop=4), "--batch-size 1: the deepest map of 4x4 pixels is 1x1"),
        (dict(batch_size=1, backbone="resnet18", stride=8), "the deepest map of 16x16 pixels is"),
    ],
)
def test_what_cannot_be_trained_takes_one_line(tiny, changes, words):
    with pytest.raises(UserError, match=re.escape(words)) as error:
        fcn.train(tiny(**changes))
    assert "\n" not in str(error.value)
    assert not (tiny().out / "checkpoints").exists()


def test_images_without_masks_are_refused(tiny, tmp_path):
    bare = write_packed(tmp_path / "bare", np.zeros((20, 16, 16, 3), np.uint8))
    with pytest.raises(UserError, match="have no masks: pack them with `dcgan prepare folder"):
        fcn.train(tiny(data=bare))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(width=8), "with --width 4, not 8"),
        (dict(stride=4), "with --stride None, not 4"),
        (dict(weights="faces"), "with --weights None, not faces"),
        (dict(train_images=30), "--train-images"),
        (dict(optimizer="sgd"), "with --optimizer adam, not sgd"),
    ],
)
def test_what_defines_a_run_does_not_change(tiny, changes, words):
    fcn.train(tiny(steps=2))
    with pytest.raises(UserError, match=re.escape(words)):
        fcn.train(tiny(**changes))


def test_other_kinds_of_runs_are_refused(tiny, run, segmenter, tmp_path):
    with pytest.raises(UserError, match="holds a GAN, not a segmentation network: `dcgan sample`"):
        fcn.load_segmenter(run)
    with pytest.raises(UserError, match="holds a GAN, not a segmentation network"):
        fcn.train(tiny(out=run))
    with pytest.raises(UserError, match="a segmentation network, not a GAN: `dcgan segment` reads"):
        load_discriminator(segmenter)
    with pytest.raises(UsageError, match="train needs a SegmentTrainConfig, not"):
        fcn.train({})


def test_a_loss_that_grows_is_reported_once(tiny, capsys):
    recipe = dict(optimizer="sgd", momentum=0.99, log_every=5)
    fcn.train(tiny(**recipe, lr=1e-3, steps=60))
    assert "lower --lr" not in capsys.readouterr().err
    diverging = tiny(**recipe, lr=0.9, loss_sum=True, steps=400, out=tiny().out.with_name("d"))
    with pytest.raises(UserError, match="not finite"):
        fcn.train(diverging)
    said = capsys.readouterr().err
    assert re.search(r"step \d+: the loss has grown from \S+ to \S+: start again with", said)
    assert said.count("has grown") == 1


def test_a_loss_that_is_not_finite_ends_the_run_before_it_is_saved(tiny):
    with pytest.raises(UserError, match=r"not finite at step \d+: try a lower --lr"):
        fcn.train(tiny(optimizer="sgd", loss_sum=True, lr=0.9, momentum=0.99, steps=400))
    found = (
        find_checkpoint(tiny().out, SEGMENTER) if (tiny().out / "checkpoints").exists() else None
    )
    assert found is None or all(map(math.isfinite, found.header["metrics"].values()))
