"""`dcgan invert` from end to end."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan import cli
from dcgan.cli.commands import invert
from dcgan.explore import encoder, load_latents
from dcgan.runs import load_generator
from tests.cli.running import fail


@pytest.fixture
def photos(tmp_path):
    """Two pictures of noise."""
    paths, rng = [tmp_path / "a.png", tmp_path / "b.jpg"], np.random.default_rng(0)
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
    return paths


def test_photos_become_a_picture_and_latents(run, photos, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["invert", str(run), "a.png", "b.jpg"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 4 and out[2:] == ["inverted.png", "inverted.safetensors"]
    for name, line in zip(("a.png", "b.jpg"), out, strict=False):
        assert re.fullmatch(rf"{name}: PSNR -?\d+\.\d dB, feature distance \d\.\d{{3}}", line)
    G = load_generator(run)
    z = load_latents(tmp_path / "inverted.safetensors", G)
    with Image.open("inverted.png") as picture:
        seen = np.asarray(picture)
    assert seen.shape == (2 * 18 + 2, 2 * 18 + 2, 3)
    made = ((G(z) + 1) * 127.5).round().permute(0, 2, 3, 1).numpy()
    for i in range(2):
        assert np.abs(seen[20:36, 2 + 18 * i :][:, :16] - made[i]).max() <= 1
    # Again, in the other order and over its own files: the same latents.
    assert cli.main(["invert", str(run), "b.jpg", "a.png"]) == 0
    assert torch.equal(load_latents(tmp_path / "inverted.safetensors", G).flip(0), z)


def test_an_encoder_is_written_and_used(run, photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(encoder, "ENCODER_STEPS", 2)
    flags = ["--encoder", tmp_path / "e.safetensors", "--out", tmp_path / "o.png"]
    words = [str(word) for word in ["invert", run, photos[0], "--restarts", "0", *flags]]
    seen, G = [], load_generator(run)
    for _ in range(2):
        assert cli.main(words) == 0
        z = load_latents(tmp_path / "o.safetensors", G)
        seen.append(((tmp_path / "e.safetensors").read_bytes(), z.tolist()))
    assert seen[0] == seen[1]


def test_mistakes_take_one_line(run, photos, tmp_path, capsys):
    photo = photos[0]
    (tmp_path / "notes.safetensors").write_text("mine")
    (tmp_path / "text.png").write_text("no image")
    for args, words in [
        ([run], "name a photo after the checkpoint"),
        ([], "Checkpoint file, run folder"),
        ([photo], "name a photo after the checkpoint"),
        ([photo, photo], "it is a picture"),
        ([run, tmp_path / "text.png"], "text.png is no photo that can be read"),
        ([run, tmp_path / "none.png"], "none.png: no such photo"),
        ([run, photo, "--out", tmp_path / "o.jpg"], "must end in .png"),
        ([run, photo, "--out", photo], "would be replaced, and is read"),
        ([run, photo, "--out", tmp_path / "notes.png"], "notes.safetensors would be replaced"),
        ([run, photo, "--encoder", tmp_path / "e.pt"], "must end in .safetensors"),
        ([run, photo, "--encoder", "inverted.safetensors"], "is the file for the latents"),
        ([run, photo, "--restarts", "-1"], "--restarts must be from 0 to 1,000, not -1"),
        ([run, photo, "--label", "hat=1"], "was not trained with --conditional"),
        ([run, photo, "--encoder", tmp_path / "notes.safetensors"], "not a usable file"),
    ]:
        _, err = fail(capsys, invert, *args)
        assert words in err, err
    assert (tmp_path / "notes.safetensors").read_text() == "mine"
