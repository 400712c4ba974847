"""The network that is trained with the labels alone."""

import dataclasses

import numpy as np
import pytest
import torch

from dcgan.deconv.linear_probe import label_tasks, probe_supervised, split_images, supervised
from dcgan.deconv.linear_probe.tasks import Draws
from dcgan.networks import Discriminator
from tests.deconv.linear_probe.sets import pack_attributes, pack_bars


def build(seed: int) -> Discriminator:
    torch.manual_seed(seed)
    return Discriminator(16, 3, width=8)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(supervised, "_SEEN_IMAGES", 6000)


@pytest.mark.parametrize("pack", [pack_bars, pack_attributes])
def test_it_learns_what_is_easy_to_see(tmp_path, pack):
    packed = pack(tmp_path / "p")
    tasks = label_tasks(packed)
    split = split_images(packed, tasks, 15)
    counted = []
    scores = probe_supervised(
        build, packed, tasks, split, 15, 2, on_training=lambda: counted.append(1)
    )
    assert scores.accuracy.shape == (2, len(tasks)) and len(counted) == 4
    assert scores.balanced_accuracy.mean() > 0.9
    again = probe_supervised(build, packed, tasks, split, 15, 2)
    assert (again.accuracy == scores.accuracy).all()


@pytest.mark.parametrize("options", [dict(batch_norm_D=True), dict(minibatch_std=True)])
def test_any_discriminator_lends_its_shape(options):
    D = Discriminator(16, 3, width=4, **options)
    assert supervised.SupervisedCnn(D, 5)(torch.randn(3, 3, 16, 16)).shape == (3, 5)


def test_labels_that_were_not_drawn_are_not_used(tmp_path):
    packed = pack_attributes(tmp_path / "p")
    pool = np.arange(200)
    draws = [Draws(task, pool, 5, 0) for task in label_tasks(packed)]
    trained = supervised._train(build, packed, draws, 3, 1e-3, "cpu")
    spoilt = []
    for each in draws:
        labels = 1 - each.task.labels
        labels[pool[each.positions(3)]] ^= 1  # those that were drawn stay
        task = dataclasses.replace(each.task, labels=labels)
        other = Draws(task, pool, 5, 0)
        other.__dict__["_of_classes"] = each._of_classes  # draw the same images
        spoilt.append(other)
    again = supervised._train(build, packed, spoilt, 3, 1e-3, "cpu")
    for a, b in zip(trained.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
