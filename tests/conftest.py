import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan import sampling
from dcgan.config import TrainConfig
from dcgan.data.packed import PackedImages, content_hash, open_packed
from dcgan.training import loop
from tests.browser import browser as browser  # a fixture
from tests.windows_files import windows_files as windows_files  # a fixture

# Networks this small gain nothing from threads, and a busy neighbour makes threads wait: here and
# in the processes that tests start.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
# With 1,024 images for the statistics of the averaged G they would take half the time of a run.
sampling._RECALIBRATION_LATENTS = 128

TINY = TrainConfig(
    size=16,
    width=4,
    latent_dim=8,
    batch_size=8,
    steps=6,
    log_every=2,
    sample_every=3,
    save_every=2,
    lr_G=0.02,
    lr_D=1e-3,
    ema_images=64,
    device="cpu",
)

# The recipe of 2015, over any configuration.
PLAIN = dict(
    loss="non-saturating",
    r1=0,
    r2=0,
    batch_norm_D=True,
    bias_D=False,
    augment_p=0,
    beta1=0.5,
    clip=0,
    smooth=False,
)


def fit(config: TrainConfig, packed: PackedImages, run: Path, on: torch.device) -> Path:
    """Train as `trainer.train` does, on images that are open already."""
    return loop.fit(config, packed, run, on, loop.checkpoint_to_resume(config, run))


def write_packed(folder: Path, images: np.ndarray, labels=None, names=(), kind=None) -> Path:
    """A packed folder written by hand, as `dcgan.data.packed` documents it."""
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    if labels is not None:
        np.save(folder / "labels.npy", labels)
    meta = {
        "format": 1,
        "source": "folder",
        "size": images.shape[1],
        "channels": images.shape[3],
        "found": len(images),
        "packed": len(images),
        "ignored": 0,
        "skipped": [],
        "notes": [],
        "label_kind": kind,
        "label_names": list(names),
        "sha256": content_hash(folder),
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


@pytest.fixture(autouse=True)
def on_cpu(request, monkeypatch) -> None:
    """On machines with GPUs too, here and in subprocesses, but for tests marked `cuda`."""
    if "cuda" not in request.keywords:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture(scope="session")
def packed(tmp_path_factory) -> PackedImages:
    """50 noise images of 16x16."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 16, 16, 3), dtype=np.uint8)
    return open_packed(write_packed(tmp_path_factory.mktemp("packed") / "noise", images))


class Flushes(list):
    """What reaches the disk: (inode, what `note` has asked to be looked at then) of every fsync."""

    look: Callable = staticmethod(lambda: None)

    def note(self, look: Callable) -> None:
        self.look = look


@pytest.fixture
def flushes(monkeypatch) -> Flushes:
    """The calls of fsync during a test, which are made all the same."""
    seen, fsync = Flushes(), os.fsync

    def watched(descriptor: int) -> None:
        seen.append((os.fstat(descriptor).st_ino, seen.look()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    return seen


@pytest.fixture(scope="session")
def run(tmp_path_factory, packed) -> Path:
    """A finished run of 6 steps. Tests must not change it."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    fit(TINY, packed, folder, torch.device("cpu"))
    return folder


@pytest.fixture
def tiny():
    """`tiny(steps=9)`: the configuration of `run` with other values."""
    return lambda **changes: dataclasses.replace(TINY, **changes)
