"""`dcgan forget`, on a generator made by hand and a small segmentation network."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

import dcgan
from dcgan import cli, images, sampling
from dcgan.export import export_generator
from dcgan.latent import noise_from_seeds
from tests.cli.running import fail
from tests.deconv.fcn.conftest import write_masked
from tests.deconv.forget.planted import LATENT_DIM, LAYER, MAP, planted_generator, red

FLAGS = ["--samples", "60", "--device", "cpu"]
TRAIN = ["--width", "4", "--batch-size", "16", "--held-out", "10", "--device", "cpu"]


def planted_images(count: int, seed: int) -> torch.Tensor:
    """Images of the planted generator, float32 [count, 3, 16, 16] in [-1, 1]."""
    return planted_generator()(noise_from_seeds(range(seed, seed + count), LATENT_DIM, "normal"))


def read(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def planted(tmp_path_factory, run):
    """The planted generator as a checkpoint."""
    path = tmp_path_factory.mktemp("planted") / "planted.safetensors"
    export_generator(run, path, weights=planted_generator().state_dict())
    return path


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    """A network that has learnt to find the square in the generator's images, but never an owl."""
    folder = tmp_path_factory.mktemp("segmenters")
    x = planted_images(200, seed=5000)
    names = ("background", "square", "owl")
    packed = write_masked(
        folder / "data", images.to_uint8(x).numpy(), red(x).to(torch.uint8).numpy(), names
    )
    words = ["segment", "train", str(packed.folder), "--out", str(folder / "run"), *TRAIN]
    assert cli.main([*words, "--steps", "60", "--lr", "0.02", "--stride", "2"]) == 0
    return folder / "run"


def test_the_planted_map_is_dropped_and_the_result_is_a_checkpoint(
    planted, segmenter, tmp_path, capsys
):
    saved, out = tmp_path / "s.safetensors", tmp_path / "f.png"
    words = ["forget", str(planted), "--object", "square", "--segmenter", str(segmenter), *FLAGS]
    words += ["--method", "maps", "--maps", "1", "--layer", str(LAYER)]
    assert cli.main([*words, "--out", str(out), "--save", str(saved)]) == 0
    about, layer, heads, row, at_random, *paths = capsys.readouterr().out.splitlines()
    assert re.match(r"square in \d+ of 60 samples by the segmentation network; measured on", about)
    assert layer.startswith(f"layer {LAYER} has 4 maps, ")
    assert heads.split() == ["gone", "pixels", "left", "change", "elsewhere"]
    assert re.match(r"1 maps dropped +100% +0% +[01]\.\d$", row), row
    assert re.match(r"1 maps dropped, at random +\d+% +\d+% +\d", at_random)
    assert paths == [str(out), str(saved)]
    wanted = dcgan.load_generator(planted).state_dict()
    wanted["layers.6.weight"][MAP] = 0
    found = dcgan.load_generator(saved).state_dict()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    pictures = [
        next(sampling.sample(dcgan.load_generator(saved), seeds)) for seeds in ([3], [1, 3])
    ]
    assert np.array_equal(pictures[0][0], pictures[1][1])
    assert read(out).shape[2] == 3


def test_kernels_are_tuned_and_maps_dropped_for_comparison(planted, segmenter, tmp_path, capsys):
    outputs = [tmp_path / name for name in ("a.png", "b.png")]
    words = ["forget", planted, "--object", "square", "--segmenter", segmenter, "--keep", 3]
    for out in outputs:
        assert cli.main([*map(str, words), *FLAGS, "--out", str(out)]) == 0
    rows = capsys.readouterr().out.splitlines()
    first, second = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    assert first[:-1] == second[:-1]
    shown = [read(out) for out in outputs]
    assert np.array_equal(*shown)
    gone, left, _ = re.match(r"kernels tuned +(\d+)% +(\d+)% +(\S+)$", first[3]).groups()
    assert int(gone) >= 80 and int(left) <= 20
    at_random, dropped = (row.split("  ")[0] for row in first[4:6])
    assert at_random == "kernels tuned, at random" and "dropped" in dropped


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--out", "f.jpg"], "must end in .png"),
        (["--object", "cat"], "--object cat: the segmentation network has background, square, owl"),
        (["--object", "owl"], "none of 60 samples have owl, too few"),
        (["--layer", "3"], "--layer must be from 1 to 2"),
        (["--layer", "0"], "--layer must be at least 1, not 0"),
        (["--layer", "2", "--maps", "5"], "--maps 5: layer 2 has 4 maps"),
        (["--attribute", "square"], "--attribute square needs --classifier"),
        (["--classifier", "none.safetensors"], "none.safetensors"),
        (["--save", "s.png"], "must end in .safetensors"),
        (["--label", "cat"], "was not trained with --conditional"),
        (["--save", "{planted}"], "--save {planted} is the file of the generator: name another"),
        (["--keep", "-1"], "--keep must be a number of at least 0"),
    ],
)
def test_mistakes_take_one_line(planted, segmenter, flags, said, capsys, tmp_path):
    flags, said = [word.format(planted=planted) for word in flags], said.format(planted=planted)
    given = dict(zip(flags[::2], flags[1::2], strict=True))
    words = {"--object": "square", "--segmenter": segmenter, "--out": tmp_path / "f.png"} | given
    pairs = [word for pair in words.items() for word in pair]
    _, err = fail(capsys, cli.forget, planted, *pairs, *FLAGS)
    assert said in err
    assert not (tmp_path / "f.png").exists()


def test_networks_of_other_kinds_and_images_take_one_line(
    planted, segmenter, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ("--object", "square", *FLAGS)
    for run, network, said in (
        (segmenter, segmenter, "holds a segmentation network, not a GAN"),
        (planted, planted, "holds a GAN, not a segmentation network"),
        ("faces", segmenter, "is for 3 x 16 x 16 images, and the generator draws 3 x 64 x 64"),
        ("nowhere", segmenter, "nowhere: no such checkpoint or run folder"),
    ):
        _, err = fail(capsys, cli.forget, run, "--segmenter", network, *words)
        assert said in err
