"""The networks that come with the package."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dcgan
from dcgan import cli, pretrained, sampling
from dcgan.data.faces import ATTRIBUTES, render
from dcgan.errors import UsageError
from dcgan.explore import find_classifier
from dcgan.explore.encoder import pretrained_encoder
from dcgan.images import to_float
from dcgan.runs.checkpoint_folder import find_checkpoint
from tests.cli.running import fail
from tests.conftest import write_packed

FACES = pretrained.FOLDER / "faces.safetensors"


def draw(G, **options) -> np.ndarray:
    return np.concatenate(list(sampling.sample(G, range(64), precision="fp32", **options)))


def test_the_files_are_small():
    assert FACES.stat().st_size <= 2_000_000
    assert sum(path.stat().st_size for path in pretrained.FOLDER.glob("*.safetensors")) <= 6_000_000


def test_the_header_says_where_the_faces_come_from():
    header = find_checkpoint(FACES).header
    assert header["config"]["source"] == "faces"
    assert header["command"].startswith("python train.py faces ")
    assert header["licence"] == "MIT"
    assert len(header["data"]) == 64  # the fingerprint of the packed images
    assert header["metrics"]["images"] > 200_000


def test_sampling_without_a_checkpoint_draws_faces(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(cli.sample, ["--count", "4", "--precision", "fp32"], "sample.py") == 0
    assert capsys.readouterr().out == "samples.png\n"
    picture = np.asarray(Image.open("samples.png"))
    assert np.array_equal(picture[2:66, 2:66], draw(dcgan.load_pretrained("faces"))[0])


def test_the_faces_look_like_drawn_ones():
    """By D, by their mean and variety, and by the attributes that the classifier sees."""
    fake, real = draw(dcgan.load_pretrained("faces")), render(range(64), 64).images.numpy()
    noise = np.random.default_rng(0).integers(0, 256, fake.shape, np.uint8)
    D = dcgan.load_discriminator("faces")
    reals, fakes, noises = (
        D(to_float(torch.from_numpy(x))).median().item() for x in (real, fake, noise)
    )
    assert reals > fakes > noises
    assert abs(fake.mean(0) - real.mean(0)).mean() < 12
    assert abs(fake.std(0) - real.std(0)).mean() < 12
    classifier = find_classifier(Path("faces"))
    assert classifier.names == ATTRIBUTES
    share, truth, of_noise = (
        (classifier.logits(classifier.outputs([x])) > 0).float().mean(0)
        for x in (fake, real, noise)
    )
    assert (share - truth).abs().max() < 0.3 < (of_noise - truth).abs().max()
    assert (share > 0.01).all()


def test_the_classifier_knows_drawn_faces():
    faces = render(range(3 * 10**9, 3 * 10**9 + 200), 64)  # none that it was trained on
    classifier = find_classifier(Path("faces"))
    found = classifier.logits(classifier.outputs([faces.images.numpy()])) > 0
    assert (found == faces.attributes).float().mean(0).min() >= 0.95


def test_the_encoder_finds_the_latents_of_images():
    """From which `invert` starts; a random guess has a cosine of 0 +- 0.125."""
    G = dcgan.load_pretrained("faces")
    encoder = pretrained_encoder(G)
    z = sampling.latents_from_seeds(G, range(500, 564))
    guess, _ = encoder(G(z))
    assert torch.cosine_similarity(guess, z).mean() > 0.5
    G.layers[0].weight.data[0] += 1e-3
    assert pretrained_encoder(G) is None  # it is of another generator


def test_the_name_stands_for_the_file_unless_something_has_that_name(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint(Path("faces")).path == FACES
    assert dcgan.load_generator("faces").latent_dim == dcgan.load_pretrained("faces").latent_dim
    os.symlink(run, "faces")
    assert find_checkpoint(Path("faces")).path.parent.name == "checkpoints"
    assert dcgan.load_generator("faces").size == 16
    assert dcgan.load_pretrained("faces").size == 64


def test_other_names_are_refused(capsys):
    with pytest.raises(UsageError, match="no pretrained network 'cats': choose one of faces"):
        dcgan.load_pretrained("cats")
    assert "no such checkpoint or run folder" in fail(capsys, cli.sample, "cats")[1]


def test_training_starts_from_the_faces(tmp_path):
    images = render(range(16), 64).images.numpy()
    data = write_packed(tmp_path / "data", images)
    out = tmp_path / "run"
    words = ["--data", data, "--from", "faces", "--steps", "1", "--batch-size", "4", "--out", out]
    assert cli.main(["train", *map(str, words), "--device", "cpu"]) == 0
    theirs, ours = find_checkpoint(Path("faces")), find_checkpoint(out)
    for prefix, source in (("G.", "ema."), ("D.", "D.")):
        trained = ours.tensors(prefix)
        for name, value in theirs.tensors(source).items():
            if value.is_floating_point() and "running" not in name:
                # Adam's first step moves a weight by its learning rate.
                assert (trained[name] - value.float()).abs().max() <= 1.5e-3, name


def test_evaluating_them_writes_below_the_working_directory(tmp_path, monkeypatch, capsys):
    data = write_packed(tmp_path / "data", render(range(32), 64).images.numpy())
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", "faces", "--data", str(data), "--count", "32"]) == 0
    (results,) = (tmp_path / "evaluations").iterdir()
    assert json.loads(results.read_text())["protocol"]["checkpoint"] == FACES.name
