"""Images of squares with masks, and a small run of a segmentation network on them."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from dcgan.config import SegmentTrainConfig
from dcgan.data import PackedImages, content_hash, open_packed
from dcgan.deconv import fcn
from tests.conftest import write_packed

NAMES = ("background", "red", "green")

TINY = SegmentTrainConfig(
    width=4,
    batch_size=8,
    steps=6,
    log_every=2,
    sample_every=3,
    save_every=2,
    held_out=10,
    device="cpu",
)


def draw_squares(count: int, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, S, S, 3] of a red and a green square on grey noise, and their masks."""
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 140, (count, size, size, 3), np.uint8)
    masks = np.zeros((count, size, size), np.uint8)
    for image, mask in zip(images, masks, strict=True):
        for label in (1, 2):
            side = rng.integers(4, 9)
            top, left = rng.integers(0, size - side + 1, 2)
            window = slice(top, top + side), slice(left, left + side)
            mask[window] = label
            image[window] = 0
            image[(*window, label - 1)] = 220
    return images, masks


def write_masked(folder: Path, images: np.ndarray, masks: np.ndarray, names=NAMES) -> PackedImages:
    """A packed folder with masks, written by hand."""
    write_packed(folder, images)
    np.save(folder / "masks.npy", masks)
    meta = json.loads((folder / "meta.json").read_text())
    meta |= {"mask_names": list(names), "sha256": content_hash(folder)}
    (folder / "meta.json").write_text(json.dumps(meta))
    return open_packed(folder)


@pytest.fixture(scope="session")
def squares(tmp_path_factory) -> PackedImages:
    return write_masked(tmp_path_factory.mktemp("masked") / "squares", *draw_squares(60))


@pytest.fixture
def tiny(squares, tmp_path):
    """`tiny(steps=9)`: the configuration of a run in tmp_path / "run" with other values."""
    begin = dataclasses.replace(TINY, data=squares.folder, out=tmp_path / "run")
    return lambda **changes: dataclasses.replace(begin, **changes)


@pytest.fixture(scope="session")
def segmenter(tmp_path_factory) -> Path:
    """A run that has learnt to tell the squares apart. Tests must not change it."""
    folder = tmp_path_factory.mktemp("segmenters")
    packed = write_masked(folder / "squares", *draw_squares(400))
    changes = dict(width=8, steps=250, lr=5e-3, log_every=50, sample_every=250, save_every=250)
    config = dataclasses.replace(TINY, data=packed.folder, out=folder / "run", **changes)
    fcn.train(config)
    return config.out
