"""The presets: one for each data set, the recipes of the DCGAN paper and of PyTorch's example."""

import subprocess
import sys
from typing import get_args

import pytest

from dcgan.config import PRESETS, SourceName, TrainConfig, config_to_dict

# They are for segmentation.
WITH_MASKS = {"face-parts", "voc"}


def test_every_source_has_a_preset_of_its_name():
    """`dcgan train --data PACKED` takes the preset of the images' source."""
    others = {"paper": "lsun", "pytorch-example": "folder"}
    assert set(PRESETS) == {*get_args(SourceName), *others} - WITH_MASKS
    for name, preset in PRESETS.items():
        assert preset.source == others.get(name, name)
        assert str(preset.out) == f"runs/{name}"


def test_the_paper_preset_is_the_recipe_of_radford_et_al_2015():
    """Section 4: Adam with lr 2e-4 and beta1 0.5, batches of 128, U(-1, 1), batch norm in D."""
    paper = PRESETS["paper"]
    assert (paper.lr_G, paper.lr_D, paper.beta1, paper.batch_size) == (2e-4, 2e-4, 0.5, 128)
    assert (paper.latent, paper.latent_dim, paper.kernel_size) == ("uniform", 100, 5)
    assert (paper.batch_norm_D, paper.bias_D, paper.width) == (True, False, 128)
    later = (paper.r1, paper.r2, paper.gradient_penalty, paper.augment_p, paper.clip)
    assert later == (0, 0, 0, 0, 0)
    assert not (paper.smooth or paper.spectral_norm or paper.minibatch_std)


def test_the_pytorch_example_preset_has_the_defaults_of_its_flags():
    """batchSize, imageSize, nz, ngf and ndf, lr, beta1 of examples/dcgan/main.py.

    tests/training/test_pytorch_example.py compares a step.
    """
    example = PRESETS["pytorch-example"]
    assert (example.batch_size, example.size, example.latent_dim, example.width) == (
        64,
        64,
        100,
        64,
    )
    assert (example.lr_G, example.lr_D, example.beta1, example.beta2) == (2e-4, 2e-4, 0.5, 0.999)
    assert (example.latent, example.kernel_size, example.label_smoothing) == ("normal", 4, 0)
    assert not (example.flip or example.augment or example.ema_images)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_can_be_restored_from_its_dictionary(name):
    """As in config.json and in checkpoints: paths as strings, all else as it is."""
    values = config_to_dict(PRESETS[name])
    paths = {key: getattr(PRESETS[name], key) for key in ("data_cache", "out")}
    assert {key: values[key] for key in paths} == {key: str(path) for key, path in paths.items()}
    assert TrainConfig(**values | paths) == PRESETS[name]


def test_options_are_imported_without_heavy_packages():
    probe = (
        "import sys, dcgan.config\n"
        "heavy = {'torch', 'numpy', 'tyro', 'PIL', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
