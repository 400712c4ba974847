"""`dcgan export`."""

import re
import shutil

import numpy as np
import pytest

from dcgan import cli, sampling
from dcgan.explore.directions_file import Directions, save_directions
from dcgan.runs.checkpoint_folder import find_checkpoint
from tests.cli.running import fail
from tests.export.pages import parse, some_directions
from tests.latent.generators import make_generator


def draw(path) -> np.ndarray:
    G = sampling.load(path)
    return np.concatenate(list(sampling.sample(G, range(4), precision="fp32")))


def test_a_generator_alone_draws_the_same_images(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", str(run), "--to", "safetensors"]) == 0
    assert capsys.readouterr().out == "generator.safetensors\n"
    assert np.array_equal(draw("generator.safetensors"), draw(run))
    assert cli.main(["export", str(run), "--out", "half.safetensors", "--half-precision"]) == 0
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "generator")]
    assert sizes[0] < 0.8 * sizes[1]
    assert cli.main(["export", str(run), "--out", "half.safetensors"]) == 0, "replaces its own file"


def test_the_ending_of_the_file_says_the_format_and_the_run_the_heading(run, tmp_path):
    out = tmp_path / "new" / "page.HTML"
    for checkpoint in (run, run / "checkpoints", find_checkpoint(run).path):
        assert cli.main(["export", str(checkpoint), "--out", str(out)]) == 0
        assert parse(out.read_text(encoding="utf-8")).texts["h1"].strip() == run.name


def test_directions_found_with_other_weights_are_noted(run, tmp_path, capsys):
    G, file, out = sampling.load(run), tmp_path / "d.safetensors", tmp_path / "page.html"
    own = some_directions(G)
    flags = [str(run), "--out", str(out), "--directions", str(file)]
    save_directions(file, own)
    assert cli.main(["export", *flags]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    save_directions(file, Directions(own.names, own.vectors, own.steps, own.method, "0" * 64))
    assert cli.main(["export", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("note: these directions were found with other weights")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "name a format by --to: html, onnx, safetensors"),
        (["--out", "a.png"], "a.png: name a format by --to: html, onnx, safetensors"),
        (["--to", "tflite"], "tflite"),
        (["--to", "onnx", "--out", "a.html"], "--out a.html: the file name must end in .onnx"),
        (["--to", "onnx", "--half-precision"], "--half-precision is for --to safetensors, not"),
        (["--to", "onnx", "--directions", "d.safetensors"], "--directions is for --to html, not"),
        (["--to", "html", "--directions", "d.txt"], "must end in .safetensors"),
        (["--to", "html", "--directions", "d.safetensors"], "d.safetensors: no such file of"),
    ],
)
def test_mistakes_take_one_line(run, tmp_path, capsys, monkeypatch, flags, words):
    monkeypatch.chdir(tmp_path)
    _, err = fail(capsys, cli.export, run, *flags)
    assert words in err
    assert not list(tmp_path.iterdir())


def test_directions_of_another_model_are_refused(run, tmp_path, capsys):
    file, out = tmp_path / "d.safetensors", tmp_path / "a.html"
    save_directions(file, some_directions(make_generator(latent_dim=9)))
    _, err = fail(capsys, cli.export, run, "--out", out, "--directions", file)
    assert re.search("d.safetensors: these directions have 9 numbers.* are of another model", err)
    assert not out.exists()


def test_checkpoints_of_a_run_and_files_of_others_are_not_replaced(run, tmp_path, capsys):
    path = tmp_path / "all.safetensors"
    shutil.copy(find_checkpoint(run).path, path)
    before = path.read_bytes()
    _, err = fail(capsys, cli.export, path, "--out", path)
    assert "would be replaced, and is read" in err
    _, err = fail(capsys, cli.export, run, "--out", path)
    assert "would be replaced, and is no exported generator" in err
    assert path.read_bytes() == before
    path.write_text("weights of mine")
    _, err = fail(capsys, cli.export, run, "--out", path)
    assert "would be replaced, and is no exported generator" in err


def test_a_missing_checkpoint_is_named(tmp_path, capsys):
    _, err = fail(capsys, cli.export, tmp_path / "none", "--to", "html")
    assert "none: no such checkpoint or run folder" in err
