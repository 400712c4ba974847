"""The smallest and plainest datasets: each trains, or the error says what is wrong."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dcgan.data import open_packed
from dcgan.errors import UserError
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.runs.layout import list_checkpoints
from dcgan.runs.loading import load_generator
from dcgan.training.monitoring import names_of_non_finite
from tests.conftest import PLAIN, fit, write_packed

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)

SETS = {
    "one image": NOISE[:1],
    "fewer images than a batch": NOISE[:3],
    "one image more than a batch": NOISE,
    "identical images": np.repeat(NOISE[:1], 20, 0),
    "black images": np.zeros((20, 16, 16, 3), np.uint8),
    "one black image": np.zeros((1, 16, 16, 3), np.uint8),
    "grey": NOISE[..., :1],
}
RECIPES = {
    "default": {},
    "2015": PLAIN,
    "all on": dict(
        loss="wasserstein", gradient_penalty=10, minibatch_std=True, augment_p="adaptive"
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", SETS)
def test_training_succeeds_with(name, recipe, tiny, tmp_path):
    images = SETS[name]
    packed = open_packed(write_packed(tmp_path / "packed", images))
    config = tiny(channels=images.shape[3], log_every=1, **RECIPES[recipe])
    fit(config, packed, tmp_path / "run", CPU)
    assert names_of_non_finite(load_file(find_checkpoint(tmp_path / "run").path)) == []
    lines = list(map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()))
    assert len(lines) == config.steps
    for line in lines:
        assert {"loss_D", "loss_G", "grad_norm_D", "grad_norm_G"} <= line.keys()
        assert all(map(math.isfinite, line.values()))


def test_a_single_image_is_learnt(tiny, tmp_path):
    """With --flip G would learn a mixture of it and its mirror image."""
    image = np.zeros((1, 16, 16, 3), np.uint8)
    image[:, :, :8] = 255
    packed = open_packed(write_packed(tmp_path / "packed", image))
    config = tiny(steps=200, flip=False, log_every=50, sample_every=200, save_every=200)
    fit(config, packed, tmp_path / "run", CPU)
    G = load_generator(tmp_path / "run")
    drawn = G(torch.randn(16, 8, generator=torch.Generator().manual_seed(0)))
    left, right = drawn[..., :6].mean(), drawn[..., 10:].mean()
    assert left > 0.6 and right < -0.6


def test_too_few_images_to_evaluate_are_reported_before_training(tiny, tmp_path):
    packed = open_packed(write_packed(tmp_path / "packed", NOISE))
    with pytest.raises(UserError, match="images are too few to compare with"):
        fit(tiny(eval_every=2, eval_images=10), packed, tmp_path / "run", CPU)
    assert not list_checkpoints(tmp_path / "run")
