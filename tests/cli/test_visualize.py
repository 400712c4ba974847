"""`dcgan visualize`: every picture, TensorBoard, and mistakes of one line."""

import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dcgan import cli, images
from dcgan.data import open_packed
from tests.cli.running import fail
from tests.conftest import fit, write_packed


def draw(tmp_path, *args) -> np.ndarray:
    out = tmp_path / "features.png"
    assert cli.main(["visualize", *map(str, args), "--device", "cpu", "--out", str(out)]) == 0
    with Image.open(out) as picture:
        return np.asarray(picture)


def test_patches_and_their_projections_by_every_method(run, packed, tmp_path, capsys):
    drawn = [
        draw(tmp_path, run, "--data", packed.folder, "--layer", "2", "--units", "0-3", *flags)
        for flags in (
            ["--top", "4"],
            ["--top", "4", "--method", "deconvnet"],
            ["--top", "4", "--method", "gradient"],
            ["--top", "4", "--random"],
            ["--top", "4", "--whole"],
            ["--top", "4", "--images", "10"],
        )
    ]
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "features.png")] * 6
    for number, picture in enumerate(drawn):
        others = [other for other in drawn[:number] if other.shape == picture.shape]
        assert not any((picture == other).all() for other in others)


def test_the_picture_is_the_same_every_time(run, packed, tmp_path):
    one, two = (draw(tmp_path, run, "--data", packed.folder, "--top", "3") for _ in range(2))
    assert (one == two).all()


def test_occlusion_filters_and_feature_maps(run, packed, tmp_path):
    images.save_png(tmp_path / "photo.png", packed.images[0].repeat(3, 0).repeat(3, 1))
    photo = ["--occlusion", tmp_path / "photo.png"]
    for flags in (
        [*photo, "--layer", "output", "--square", "4"],
        [*photo, "--units", "0,3"],
        ["--filters"],
        ["--filters", "--units", "2"],
        ["--of", "G", "--layer", "1", "--seeds", "3,4"],
    ):
        picture = draw(tmp_path, run, *flags)
        assert picture.dtype == np.uint8 and picture.std() > 5


def test_a_network_of_torchvision(packed, tmp_path):
    flags = ["--network", "torchvision.models:resnet18", "--data", packed.folder, "--top", "1"]
    picture = draw(tmp_path, *flags, "--layer", "layer1.0.relu@2", "--units", "7")
    assert picture.std() > 5


def test_pictures_reach_tensorboard(run, packed, tmp_path, capsys):
    log = tmp_path / "log"
    for layer in ("1", "2"):
        draw(tmp_path, run, "--data", packed.folder, "--layer", layer, "--log", log)
    files = [line for line in capsys.readouterr().out.splitlines() if "tfevents" in line]
    assert len(files) == 2 and all(str(log / "visualize") in file for file in files)
    events = EventAccumulator(str(log / "visualize")).Reload()
    assert sorted(events.Tags()["images"]) == ["D/guided/1", "D/guided/2"]
    assert [image.step for image in events.Images("D/guided/1")] == [6]
    shown = events.Images("D/guided/2")[0].encoded_image_string
    assert shown == (tmp_path / "features.png").read_bytes()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "give --data for patches, --occlusion PHOTO, --filters, or --of G"),
        (["--filters", "--of", "G"], "--filters and --of G are different pictures"),
        (["--of", "G", "--random"], "--random cannot be combined with --of G"),
        (["--filters", "--weights", "w.safetensors"], "--weights is for --network"),
        (["--filters", "--weights", "w.pth"], "must end in .safetensors"),
        (["--filters", "--size", "32"], "--size is for --network"),
        (["--filters", "--network", "resnet"], "--network resnet: write it as module:function"),
        (["--filters", "--units", "9-"], "--units 9-: write numbers and ranges"),
        (["--filters", "--units", "4"], "unit 4: the first convolution has 0 to 3"),
        (["--data", "PACKED", "--top", "0"], "--top must be from 1 to 100, not 0"),
        (["--data", "PACKED", "--top", "51"], "--top 51: only 50 images are searched"),
        (["--data", "PACKED", "--layer", "conv9"], "no layer conv9: choose one of blocks.0.0"),
        (["--data", "PACKED", "--layer", "9"], r"no layer 9: .*2 = blocks.1.1 \(8x4x4\)"),
        (["--data", "PACKED", "--units", "8"], "unit 8: layer blocks.1.1 has the units 0 to 7"),
        (["--data", "missing"], "missing does not exist"),
        (["--of", "G", "--layer", "x"], "no layer x: choose one of"),
        (["--of", "G", "--units", "99"], "unit 99: layer"),
        (["--of", "G", "--seeds", "0-16"], "at most 16 seeds"),
        (["--occlusion", "missing.png"], "missing.png: no such photo"),
        (["--filters", "--out", "a.jpg"], "must end in .png"),
        (["--filters", "--method", "lrp"], "lrp"),
    ],
)
def test_mistakes_take_one_line(run, packed, tmp_path, monkeypatch, capsys, flags, words):
    monkeypatch.chdir(tmp_path)
    flags = [packed.folder if flag == "PACKED" else flag for flag in flags]
    _, err = fail(capsys, cli.visualize, run, "--device", "cpu", *flags)
    assert re.search(words, err), err
    assert not list(tmp_path.iterdir())


def test_conditional_discriminators_of_grey_images_with_all_options(tmp_path, tiny, capsys):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (30, 16, 16, 1), dtype=np.uint8)
    labels = np.arange(30) % 3
    folder = write_packed(tmp_path / "grey", pixels, labels, ("a", "b", "c"), "class")
    options = dict(channels=1, conditional=True, spectral_norm=True, minibatch_std=True)
    config = tiny(**options, bias_D=True, steps=2)
    fit(config, open_packed(folder), tmp_path / "run", torch.device("cpu"))
    run = tmp_path / "run"
    images.save_png(tmp_path / "photo.png", pixels[0])
    for flags in (
        ["--data", folder, "--top", "2", "--layer", "1"],
        ["--data", folder, "--top", "2", "--random"],
        ["--occlusion", tmp_path / "photo.png", "--layer", "output"],
        ["--filters"],
        ["--of", "G"],
    ):
        assert draw(tmp_path, run, *flags).std() > 5
    capsys.readouterr()
    _, err = fail(capsys, cli.visualize, run, "--filters", "--log", tmp_path / "photo.png")
    assert "photo.png is not a folder" in err


def test_data_of_another_size_are_refused(packed, capsys, tmp_path):
    out = ["--out", tmp_path / "a.png"]
    _, err = fail(capsys, cli.visualize, "faces", "--data", packed.folder, *out)
    assert "has images of 3x16x16, and D of faces takes 3x64x64" in err


def test_activations_without_a_rule_are_refused(packed, tmp_path, monkeypatch, capsys):
    code = (
        "from torch import nn\ndef f():\n    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.GELU())\n"
    )
    (tmp_path / "gelu_network.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    flags = ["--network", "gelu_network:f", "--data", packed.folder]
    _, err = fail(capsys, cli.visualize, *flags)
    assert "has the operation Gelu" in err and "use --method gradient" in err
    draw(tmp_path, *flags, "--method", "gradient")
    sys.modules.pop("gelu_network")
