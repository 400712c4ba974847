"""`dcgan canvas`."""

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan import cli, images, sampling
from dcgan.config import CanvasConfig
from dcgan.explore.canvas import latent_grid
from tests.cli.running import fail


def test_a_canvas_is_a_window_of_one_call_of_G(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--width", "270", "--height", "33", "--seeds", "7", "--precision", "fp32"]
    assert cli.main(["canvas", str(run), *flags]) == 0
    assert capsys.readouterr().out == "canvas.png\n"
    G = sampling.load(run)
    grid = latent_grid(G, CanvasConfig(width=270, height=33, seeds="7"))
    with torch.inference_mode():
        expected = images.to_uint8(G(grid))[0, :33, :270].numpy()
    with Image.open("canvas.png") as drawn:
        assert (np.asarray(drawn) == expected).all()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--width", "0"], "--width must be from 1 to 65,536 pixels, not 0"),
        (["--height", "65537"], "--height must be from 1 to 65,536 pixels, not 65537"),
        (["--width", "65536", "--height", "4096"], "268,435,456 pixels are more than 134,217,728"),
        (["--spacing", "0"], "--spacing must be from 1 to 1,000, not 0"),
        (["--out", "canvas.jpg"], "must end in .png"),
        (["--latents", "independent", "--seeds", "1,2"], "write --latents repeated"),
        (["--seeds", "x"], "--seeds x"),
        (["--label", "dog"], "not trained with --conditional"),
    ],
)
def test_mistakes_take_one_line(run, tmp_path, capsys, flags, words):
    _, err = fail(capsys, cli.canvas, run, "--out", tmp_path / "a.png", *flags)
    assert words in err
    assert not list(tmp_path.iterdir())
