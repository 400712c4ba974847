"""A small run of a generator whose labels a classifier knows, for the tests beside this file."""

import dataclasses
from pathlib import Path

import pytest
import torch

from dcgan.data.packed import open_packed
from dcgan.explore import classifier_training
from dcgan.explore.classifier import save_classifier
from dcgan.explore.classifier_training import train_classifier
from tests.conftest import TINY, fit, write_packed
from tests.explore.test_classifier import NAMES, shapes


def make_labelled_run(folder: Path) -> dict[str, Path]:
    """A run of some steps on shapes with labels, its packed images, and a classifier of them."""
    images, labels = shapes(300)
    packed = write_packed(folder / "packed", images, labels, NAMES, "attributes")
    config = dataclasses.replace(
        TINY, data=packed, out=folder / "run", steps=100, width=8, batch_size=32, lr_G=2e-3,
        lr_D=2e-3, log_every=100, sample_every=100, save_every=100,
    )  # fmt: skip
    fit(config, open_packed(packed), config.out, torch.device("cpu"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier_training, "_STEPS", 50)
        save_classifier(folder / "c.safetensors", train_classifier(open_packed(packed)))
    return {"run": config.out, "packed": packed, "classifier": folder / "c.safetensors"}
