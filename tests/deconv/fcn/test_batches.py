"""Images and masks of a step are mirrored and cropped alike, and depend on seed and step alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan.data import IGNORED, PackedImages, open_packed
from dcgan.deconv.fcn import SegmentationLoader
from dcgan.errors import UsageError, UserError
from dcgan.training.image_loader import FLIPS
from tests.conftest import write_packed

CPU = torch.device("cpu")
COUNT, SIZE, CLASSES = 12, 16, 3


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> PackedImages:
    """Noise whose grey value is a function of the class of each pixel, 240 where it has none."""
    rng = np.random.default_rng(0)
    masks = rng.integers(0, CLASSES, (COUNT, SIZE, SIZE)).astype(np.uint8)
    masks[rng.random(masks.shape) < 0.1] = IGNORED
    grey = np.where(masks == IGNORED, 240, 10 + 60 * masks.astype(int)).astype(np.uint8)
    images = np.stack([grey, np.broadcast_to(np.arange(SIZE, dtype=np.uint8), grey.shape)], 3)
    images = np.concatenate([images, images[..., :1]], 3)  # green is the column
    return add_masks(write_packed(tmp_path_factory.mktemp("fcn") / "out", images), masks)


def add_masks(folder: Path, masks: np.ndarray) -> PackedImages:
    np.save(folder / "masks.npy", masks)
    meta = json.loads((folder / "meta.json").read_text())
    meta["mask_names"] = [str(i) for i in range(CLASSES)]
    (folder / "meta.json").write_text(json.dumps(meta))
    return open_packed(folder)


def to_bytes(real: torch.Tensor) -> np.ndarray:
    """[n, C, S, S] in [-1, 1] -> int [n, S, S, C] in 0..255."""
    return ((real + 1) * 127.5).round().int().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("crop", [None, 1, 7, SIZE])
@pytest.mark.parametrize("flip", [False, True])
def test_a_mask_belongs_to_what_is_shown(packed, crop, flip):
    loader = SegmentationLoader(packed, CPU, batch_size=6, seed=1, flip=flip, crop=crop)
    places, mirrored = set(), []
    for step in range(12):
        real, mask = loader.at(step)
        side = crop or SIZE
        assert real.shape == (6, 3, side, side) and mask.shape == (6, side, side)
        assert real.dtype == torch.float32 and mask.dtype == torch.int64
        shown = to_bytes(real)
        expected = np.where(mask == IGNORED, 240, 10 + 60 * mask.numpy())
        np.testing.assert_array_equal(shown[..., 0], expected)
        if side > 1:
            mirrored += (shown[:, 0, 0, 1] > shown[:, 0, 1, 1]).tolist()
        places |= set(shown[:, 0, 0, 1].tolist())
    if side > 1:
        draws = [np.random.default_rng([1, FLIPS, step]).random(6) < 0.5 for step in range(12)]
        assert mirrored == (np.concatenate(draws) & flip).tolist()
    assert len(places) == {1: SIZE, 7: 16 if flip else 10, SIZE: 1 + flip}[side]


def test_a_step_depends_on_the_seed_and_the_step_alone(packed):
    def loader(seed=1):
        return SegmentationLoader(packed, CPU, batch_size=4, seed=seed, flip=True, crop=5)

    in_order = loader().starting_at(3)
    for step in (3, 4, 5):
        batch = next(in_order)
        for one, other in zip(batch, loader().at(step), strict=True):
            assert torch.equal(one, other)
    in_order.close()
    assert not torch.equal(loader().at(3).mask, loader(seed=2).at(3).mask)


def test_processes_share_the_batch_of_one(packed):
    whole = SegmentationLoader(packed, CPU, batch_size=6, seed=1, flip=True, crop=9).at(2)
    parts = [
        SegmentationLoader(
            packed, CPU, batch_size=6, seed=1, flip=True, crop=9, rank=rank, world_size=3
        ).at(2)
        for rank in range(3)
    ]
    for one, *shares in zip(whole, *parts, strict=True):
        assert torch.equal(one, torch.cat(shares))


def test_only_the_chosen_images_are_shown(packed):
    chosen = np.array([2, 7, 11])
    loader = SegmentationLoader(packed, CPU, batch_size=3, seed=1, flip=False, chosen=chosen)
    shown = to_bytes(loader.at(5).real)
    seen = {int(np.flatnonzero((packed.images == image).all((1, 2, 3)))[0]) for image in shown}
    assert seen == {2, 7, 11}


def test_crops_and_folders_that_do_not_do_are_refused(packed, tmp_path):
    for crop in (0, SIZE + 1):
        with pytest.raises(UsageError, match="--crop must be from 1 to 16"):
            SegmentationLoader(packed, CPU, batch_size=4, seed=1, flip=True, crop=crop)
    plain = open_packed(write_packed(tmp_path / "plain", np.array(packed.images)))
    with pytest.raises(UserError, match=r"plain has no masks"):
        SegmentationLoader(plain, CPU, batch_size=4, seed=1, flip=True)
