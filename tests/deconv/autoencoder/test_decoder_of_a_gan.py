"""Autoencoders around the generator of a GAN, and inversion that starts from their codes."""

import dataclasses
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file

from dcgan.deconv import autoencoder
from dcgan.deconv.autoencoder.training import ENCODER_FILE
from dcgan.errors import UsageError, UserError
from dcgan.explore import load_encoder
from dcgan.latent import invert
from dcgan.runs import load_generator
from dcgan.runs.checkpoint_folder import find_checkpoint
from tests.conftest import TINY as TINY_GAN
from tests.conftest import fit


@pytest.fixture
def around(tiny, run):
    """`around(steps=9)`: a configuration whose decoder is the G of a tiny run."""
    return lambda **changes: tiny(
        **{"decoder": run, "width": 32, "code_dim": 256, "steps": 4, **changes}
    )


def test_the_generator_stays_as_it_is_and_the_encoder_learns(around, run):
    autoencoder.train(around())
    network, G = autoencoder.load_autoencoder(around().out), load_generator(run)
    ours, theirs = network.decoder.state_dict(), G.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert network.encoder.head.weight.abs().max() > 0
    assert network.code(torch.rand(2, 3, 16, 16)).shape == (2, G.latent_dim)


def test_inversion_starts_from_its_encoder(around, run):
    autoencoder.train(around())
    G = load_generator(run)
    encoder = load_encoder(around().out / ENCODER_FILE, G)
    network = autoencoder.load_autoencoder(around().out)
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    assert torch.allclose(encoder(x)[0], network.code(x), atol=1e-2), "in half precision"
    found = invert(G, x, encoder=encoder, restarts=0)
    assert found.latents.shape == (1, G.latent_dim)


def test_a_resumed_run_does_not_need_the_gan(around, tmp_path, capsys):
    whole = autoencoder.train(around(steps=5, out=tmp_path / "whole", lr_decay="none"))
    gan = tmp_path / "gan.safetensors"
    shutil.copy(find_checkpoint(around().decoder).path, gan)
    stopped = around(steps=2, out=tmp_path / "stopped", lr_decay="none", decoder=gan)
    autoencoder.train(stopped)
    gan.unlink()
    resumed = autoencoder.train(dataclasses.replace(stopped, steps=5))
    assert "resumes from step 2" in capsys.readouterr().err
    ours, theirs = load_file(whole), load_file(resumed)
    assert all(torch.equal(ours[n], theirs[n]) for n in ours if not n.startswith("sums."))


def test_a_resumed_run_takes_no_other_gan(around, tmp_path, packed):
    begun = around(steps=2)
    autoencoder.train(begun)
    moved = tmp_path / "moved.safetensors"
    shutil.copy(find_checkpoint(begun.decoder).path, moved)
    autoencoder.train(dataclasses.replace(begun, steps=3, decoder=moved))
    other = dataclasses.replace(TINY_GAN, out=tmp_path / "other", seed=5)
    fit(other, packed, other.out, torch.device("cpu"))
    with pytest.raises(UserError, match=r"other holds another generator: use another --out"):
        autoencoder.train(dataclasses.replace(begun, steps=4, decoder=other.out))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(width=8), "--width 8: the generator of --decoder has 4; leave it out"),
        (dict(code_dim=9), "--code-dim 9: the generator of --decoder has 8"),
    ],
)
def test_options_of_other_networks_are_refused(around, changes, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        autoencoder.train(around(**changes))


def test_generators_of_other_images_are_refused(around, tiny):
    with pytest.raises(UsageError, match="it makes images of 64 pixels and 3 channels, and those"):
        autoencoder.train(around(decoder="faces"))
    autoencoder.train(tiny(steps=2))
    with pytest.raises(UserError, match="was trained without --decoder: do so, or use another"):
        autoencoder.train(around())
