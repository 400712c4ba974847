import math

import numpy as np
import pytest
import torch
from torch import nn

from dcgan.config import DenoiseEvaluateConfig
from dcgan.data import open_packed
from dcgan.deconv import autoencoder
from dcgan.deconv.autoencoder.evaluation import compare_methods, table
from dcgan.deconv.autoencoder.figure import draw_comparison
from dcgan.errors import UserError
from tests.conftest import write_packed


class Echo(nn.Module):
    def __init__(self):
        super().__init__()
        self.anything = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x


@pytest.fixture
def grey(tmp_path):
    """100 plain images of 16x16 of greys about the middle: no noise up to 0.2 is clipped."""
    images = np.empty((100, 16, 16, 3), np.uint8)
    images[:] = np.linspace(110, 145, 100).astype(np.uint8)[:, None, None, None]
    return open_packed(write_packed(tmp_path / "grey", images))


def test_the_noisy_images_have_the_psnr_of_their_level(grey):
    """20 log10(2 / sigma), where 2 is the range of the values."""
    network, levels = Echo(), (0.05, 0.1, 0.2)
    rows, fitted = np.arange(0, 100, 2), np.arange(1, 100, 2)
    found = compare_methods(network, grey, rows, "gaussian", levels, (grey, fitted))
    for level, noisy, echoed in zip(
        levels, found.psnr["noisy"], found.psnr["autoencoder"], strict=True
    ):
        assert noisy == pytest.approx(20 * math.log10(2 / level), abs=0.1)
        assert echoed == noisy
    # Of plain images one component of 768 is left. The mean of log(n^2) of a normal number n is
    # that of the 768 together less 1.27.
    assert found.chosen["PCA"] == ["1"] * 3
    gains = np.subtract(found.psnr["PCA"], found.psnr["noisy"])
    assert gains == pytest.approx([10 * math.log10(768 * math.exp(1.27))] * 3, abs=3)
    assert found.chosen["median"] == ["7x7"] * 3
    again = compare_methods(network, grey, rows, "gaussian", levels, (grey, fitted))
    assert again.psnr == found.psnr, "the same noise every time"


def test_the_table_and_the_picture_show_every_method(grey):
    rows = np.arange(10)
    found = compare_methods(Echo(), grey, rows, "masking", (0.1, 0.5), (grey, rows))
    lines = table(found)
    assert lines[0] == "mean PSNR in dB on 10 images"
    assert lines[1].split() == ["masking", "noisy", "median", "PCA", "autoencoder"]
    assert [line.split()[0] for line in lines[2:]] == ["0.1", "0.5"]
    assert len({len(line) for line in lines[1:]}) == 1, "aligned"
    picture = draw_comparison(found)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    assert picture.shape[1] > 5 * 96 and picture.shape[0] > 4 * 96


def test_a_run_is_measured_on_the_images_that_were_held_out(denoiser, packed, tmp_path):
    found = autoencoder.evaluate(DenoiseEvaluateConfig(run=denoiser, out=tmp_path / "a.png"))
    assert found.count == 10 and found.levels == (0.1, 0.3, 0.5)
    assert (tmp_path / "a.png").exists()
    same = DenoiseEvaluateConfig(run=denoiser, data=packed.folder, out=tmp_path / "b.png", images=4)
    assert autoencoder.evaluate(same).count == 4
    other = write_packed(tmp_path / "other", np.array(packed.images[:20][:, ::-1]))
    config = DenoiseEvaluateConfig(
        run=denoiser,
        data=other,
        corruption="salt-and-pepper",
        noise_levels=(0.2,),
        out=tmp_path / "c.png",
    )
    found = autoencoder.evaluate(config)
    assert (found.count, found.corruption, found.levels) == (20, "salt-and-pepper", (0.2,))


def test_images_of_another_shape_are_refused(denoiser, tmp_path):
    other = write_packed(tmp_path / "grey", np.zeros((20, 16, 16, 1), np.uint8))
    config = DenoiseEvaluateConfig(run=denoiser, data=other, out=tmp_path / "a.png")
    with pytest.raises(UserError, match=r"16 pixels and 1 channels, and those of .* 16 and 3"):
        autoencoder.evaluate(config)
