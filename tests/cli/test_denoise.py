"""`dcgan denoise`."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from dcgan import cli
from dcgan.config import DenoiseTrainConfig
from dcgan.deconv import autoencoder
from tests.cli.running import fail
from tests.deconv.autoencoder.conftest import TINY

FLAGS = ["--width", "4", "--code-dim", "8", "--batch-size", "8", "--held-out", "10", "--steps", "4"]


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory, packed):
    folder = tmp_path_factory.mktemp("denoisers") / "tiny"
    autoencoder.train(dataclasses.replace(TINY, data=packed.folder, out=folder))
    return folder


def test_a_run_is_trained_resumed_applied_and_measured(packed, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["denoise", "train", "--data", str(packed.folder), "--out", "r", *FLAGS]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "mean PSNR in dB on 10 images"
    assert out[-3:-1] == [
        "examples     r/denoised.png",
        "checkpoint   r/checkpoints/step-00000004.safetensors",
    ]
    # The options of the run stand for the flags that are left out, the images too.
    assert cli.main(["denoise", "train", "--out", "r", "--steps", "6"]) == 0
    assert "r resumes from step 4 with --steps 6 (4 before)" in capsys.readouterr().err
    Image.fromarray(np.zeros((30, 20), np.uint8)).save("noisy.png")
    assert cli.main(["denoise", "apply", "r", "noisy.png", "--out", "a.png"]) == 0
    assert cli.main(["denoise", "apply", "r", "noisy.png", "--windows"]) == 0
    assert capsys.readouterr().out == "a.png\nclean.png\n"
    with Image.open("a.png") as whole, Image.open("clean.png") as windows:
        assert (whole.size, windows.size) == ((16, 16), (20, 30))
    flags = ["--corruption", "masking", "--noise-levels", "0.1", "0.2", "--out", "m.png"]
    assert cli.main(["denoise", "evaluate", "r", *flags]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].split()[0] == "masking" and out[-1] == "m.png"


def test_training_begins_from_the_defaults_of_its_own_class(packed, monkeypatch):
    """They differ from those of the options that it shares with other trainings."""
    monkeypatch.setattr(autoencoder, "train", lambda config: began.append(config) or 1 / 0)
    began = []
    with pytest.raises(ZeroDivisionError):
        cli.main(["denoise", "train", "--data", str(packed.folder)])
    assert began == [DenoiseTrainConfig(data=packed.folder)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a task: dcgan train|apply|evaluate"),
        (["tidy"], "unknown task 'tidy': choose one of train, apply, evaluate"),
        (["train"], "--data: name a packed folder"),
        (["train", "--data", "nowhere"], "nowhere does not exist; `dcgan prepare` makes one"),
        (["train", "--noise-levels", "0.5", "0.1"], "two numbers, the smaller one first, not 0.5"),
        (["train", "--noise-levels", "0", "2.5"], "from 0 to 2 for gaussian, not 2.5"),
        (
            ["train", "--corruption", "masking", "--noise-levels", "0.5", "1.5"],
            "--noise-levels must be from 0 to 1 for masking, not 1.5",
        ),
        (["train", "--corruption", "blur"], "'blur'"),
        (["train", "--batch-size", "1"], "at least 2 (for batch norm)"),
        (["train", "--lr", "0"], "--lr must be between 0 and 1, not 0.0"),
        (["apply"], "required"),
        (["evaluate", "r", "--noise-levels", "0.1"], "--noise-levels needs --corruption"),
        (["evaluate", "r", "--corruption", "masking"], "must be given with --corruption"),
        (["evaluate", "r", "--out", "a.jpg"], "must end in .png"),
    ],
)
def test_wrong_flags_take_one_line(tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    _, err = fail(capsys, cli.denoise, *words)
    assert said in err
    assert not list(tmp_path.iterdir())


def test_wrong_files_take_one_line(denoiser, tmp_path, capsys):
    photo, text = tmp_path / "photo.png", tmp_path / "text.png"
    Image.new("RGB", (16, 16)).save(photo)
    text.write_text("no picture")
    for words, said in [
        ((denoiser, tmp_path / "none.png"), "no such photo"),
        ((denoiser, text), "is no photo that can be read"),
        ((denoiser, text, "--windows"), "is no photo that can be read"),
        ((tmp_path / "none", photo), "no such checkpoint or run folder"),
        ((photo, photo), "it is a picture"),
        ((denoiser, photo, "--out", tmp_path / "a.jpg"), "must end in .png"),
        ((denoiser, photo, "--out", tmp_path / "text.png" / "a.png"), "cannot write"),
    ]:
        _, err = fail(capsys, cli.denoise, "apply", *words)
        assert said in err


def test_a_gan_is_no_autoencoder(run, packed, tmp_path, capsys):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (16, 16)).save(photo)
    said = "holds a GAN, not a denoising autoencoder: `dcgan sample` reads it"
    for words in (
        ("apply", run, photo),
        ("apply", "faces", photo),
        ("evaluate", run),
        ("train", "--out", run, "--data", packed.folder),
    ):
        assert said in fail(capsys, cli.denoise, *words)[1]


def test_an_autoencoder_is_no_gan(denoiser, run, packed, tmp_path, capsys):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (16, 16)).save(photo)
    said = "holds a denoising autoencoder, not a GAN: `dcgan denoise` reads it"
    newest = denoiser / "checkpoints" / "step-00000006.safetensors"
    for command, *words in (
        (cli.sample, denoiser),
        (cli.sample, newest),
        (cli.walk, denoiser, "--seeds", "1,2", "--out", tmp_path / "w.gif"),
        (cli.invert, denoiser, photo, "--out", tmp_path / "i.png"),
        (cli.train, "--out", denoiser, "--data", packed.folder),
        (cli.train, "--from", denoiser, "--data", packed.folder, "--out", tmp_path / "new"),
        (cli.evaluate, denoiser, "--data", packed.folder),
        (cli.compare, denoiser, run),
    ):
        assert said in fail(capsys, command, *words)[1], words


def test_a_begun_autoencoder_is_no_begun_gan(denoiser, packed, tmp_path, capsys):
    begun = tmp_path / "begun"
    shutil.copytree(denoiser, begun)
    shutil.rmtree(begun / "checkpoints")
    words = ("--out", begun, "--data", packed.folder, "--size", "16")
    assert "holds other files" in fail(capsys, cli.train, *words)[1]
    assert cli.main(["denoise", "train", "--out", str(begun), "--steps", "2"]) == 0, "begins anew"


def test_help_lists_the_tasks(capsys):
    assert cli.main(["denoise", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {task} " in out for task in ("train", "apply", "evaluate"))


def test_a_damaged_run_is_one_line(denoiser, packed, tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(denoiser, broken)
    for path in (broken / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-5])
    Image.new("RGB", (16, 16)).save(tmp_path / "photo.png")
    words = ["denoise", "apply", str(broken), str(tmp_path / "photo.png")]
    assert cli.main(words) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[-1] == f"dcgan: {broken} has no checkpoint that can be read"
