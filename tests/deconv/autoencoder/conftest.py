"""A small run of a denoising autoencoder, for the tests beside this file."""

import dataclasses
from pathlib import Path

import pytest

from dcgan.config import DenoiseTrainConfig
from dcgan.deconv import autoencoder

TINY = DenoiseTrainConfig(
    width=4,
    code_dim=8,
    batch_size=8,
    steps=6,
    log_every=2,
    sample_every=3,
    save_every=2,
    held_out=10,
    device="cpu",
)


@pytest.fixture
def tiny(packed, tmp_path):
    """`tiny(steps=9)`: the configuration of a run in tmp_path / "run" with other values."""
    begin = dataclasses.replace(TINY, data=packed.folder, out=tmp_path / "run")
    return lambda **changes: dataclasses.replace(begin, **changes)


@pytest.fixture(scope="session")
def denoiser(tmp_path_factory, packed) -> Path:
    """A finished run of 6 steps. Tests must not change it."""
    folder = tmp_path_factory.mktemp("denoisers") / "tiny"
    autoencoder.train(dataclasses.replace(TINY, data=packed.folder, out=folder))
    return folder
