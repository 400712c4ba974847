"""Canvases beside one call of G for the whole grid, and what decides where images stand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan import images, sampling
from dcgan.config import CanvasConfig
from dcgan.errors import UsageError
from dcgan.explore.canvas import draw_canvas, draw_window, latent_grid, margin
from dcgan.latent import Labels
from dcgan.latent.grids import cell_seed
from dcgan.networks import Generator, fold_batch_norm
from tests.networks.test_tiles import make_generator


def whole(G, config) -> np.ndarray:
    with torch.inference_mode():
        return images.to_uint8(G(latent_grid(G, config)))[0].numpy()


@pytest.mark.parametrize("kernel_size", [4, 5])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "width"), [(32, 24), (64, 32), (128, 4)])
def test_a_canvas_is_what_one_call_of_G_makes(size, width, channels, kernel_size):
    G = make_generator(size, width, channels, kernel_size)
    for stride in (1, 4):
        config = CanvasConfig(width=301, height=263, stride=stride, precision="fp32")
        start, canvas = margin(G, config), draw_canvas(G, config)
        expected = whole(G, config)[start:, start:][:263, :301]
        assert canvas.shape == (263, 301, channels) and canvas.std() > 10
        assert (canvas == expected).all()


@pytest.mark.parametrize("latents", ["interpolated", "independent", "repeated"])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_larger_canvas_begins_with_the_same_pixels(latents, stride):
    """But for those at the end of its grid."""
    G = make_generator(32, 4)
    small, large = (
        draw_canvas(G, CanvasConfig(width=w, height=h, latents=latents, stride=stride))
        for w, h in ((288, 96), (400, 350))
    )
    assert (small[:64, :256] == large[:64, :256]).all()
    assert small.std() > 10


def test_images_at_the_stride_of_an_image_are_those_of_their_seeds():
    """Away from their borders, where neighbours join."""
    G = make_generator(64, 8)
    alone = next(sampling.sample(G, [3, 14, cell_seed(5, 1, 2)])).astype(int)
    repeated = CanvasConfig(width=256, height=128, latents="repeated", seeds="3,14")
    canvas = draw_canvas(G, repeated)
    middle = slice(28, 36)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 3)):
        found = canvas[64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
        expected = alone[(row + column) % 2]
        assert np.abs(found[middle, middle] - expected[middle, middle]).max() <= 1
    independent = CanvasConfig(width=256, height=128, latents="independent", seeds="5")
    found = draw_canvas(G, independent)[64:, 128:192]
    assert np.abs(found[middle, middle] - alone[2][middle, middle]).max() <= 1
    assert (canvas[:, 128:192] != canvas[:, 64:128]).any()


@pytest.mark.parametrize("size", [64, 512])
def test_a_canvas_of_one_image_is_that_image(size):
    G = make_generator(size, 1)
    config = CanvasConfig(width=size, height=size - 3, latents="repeated", seeds="9")
    (image,) = next(sampling.sample(G, [9])).astype(int)
    assert np.abs(draw_canvas(G, config) - image[:-3]).max() <= 1


def test_labels_and_truncation_reach_every_latent():
    torch.manual_seed(0)
    G = Generator(16, width=2, latent_dim=5, num_labels=3, latent="uniform").eval()
    classes = np.array([0, 1, 2, 2])
    G.labels = Labels.from_images("class", ("cat", "dog", "owl"), classes)
    options = dict(width=64, height=32, truncation=0.5)
    options["latents"] = "independent"
    dogs = latent_grid(G, CanvasConfig(**options, label="dog"))[0, :, ::4, ::4]
    assert dogs.shape == (8, 2, 4)
    assert (dogs[5:] == torch.tensor([0.0, 1, 0])[:, None, None]).all()
    assert 0 < dogs[:5].abs().max() <= 0.5
    free = latent_grid(G, CanvasConfig(**options))[0, 5:, ::4, ::4]
    assert torch.equal(free.sum(0), torch.ones(2, 4)) and len(free.flatten(1).unique(dim=1)) > 1
    assert draw_canvas(G, CanvasConfig(**options)).shape == (32, 64, 3)


def test_bf16_and_a_network_in_training():
    G = make_generator(32, 8).train()
    config = CanvasConfig(width=300, height=40, precision="bf16")
    before = {k: v.clone() for k, v in G.state_dict().items()}
    canvas = draw_canvas(G, config)
    assert G.training and all(torch.equal(v, before[k]) for k, v in G.state_dict().items())
    rough = fold_batch_norm(G).bfloat16()
    with torch.inference_mode():
        expected = images.to_uint8(rough(latent_grid(G, config).bfloat16()))[0].numpy()
    assert (canvas == expected[:40, :300]).all()
    difference = np.abs(canvas.astype(int) - whole(G.eval(), config)[:40, :300])
    assert 0 < difference.mean() < 3


def test_mistakes_of_python_callers_take_one_line():
    G = make_generator(32, 1)
    for height, left in ((33, 0), (0, 0), (8, 30), (8, -1)):
        with pytest.raises(UsageError, match="no window of an image of 32 rows and 40 columns"):
            draw_window(G, torch.zeros(1, 6, 1, 2), 0, left, height, 20)
    for shape in ((1, 5, 2, 2), (2, 6, 2, 2), (6, 2, 2)):
        with pytest.raises(UsageError, match=r"must have the shape \[1, 6, h, w\]"):
            draw_window(G, torch.zeros(shape), 0, 0, 8, 8)
    tiny = Generator(8, width=1, latent_dim=100)
    with pytest.raises(UsageError, match="more than fit in memory"):
        draw_canvas(tiny, CanvasConfig(width=8192, height=8192))
    with pytest.raises(UsageError, match="not trained with --conditional"):
        draw_canvas(G, CanvasConfig(label="dog"))
    with pytest.raises(UsageError, match="needs a Generator"):
        draw_canvas("run", CanvasConfig())


PROBE = r"""
import re, torch
from dcgan.config import CanvasConfig
from dcgan.explore.canvas import draw_canvas
from dcgan.networks import Generator
torch.set_num_threads(1)
G = Generator(32, width=8, latent_dim=16).eval()
peaks = []
for width in (256, 16384):
    draw_canvas(G, CanvasConfig(width=width, height=512))
    # Of this process alone: ru_maxrss begins with the peak of the process that started it.
    with open("/proc/self/status") as status:
        peaks.append(int(re.search(r"VmHWM:\s*(\d+)", status.read())[1]))
print((peaks[1] - peaks[0]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_long_canvas_takes_little_more_memory_than_its_pixels():
    """Its pixels are 25 MB and its latents 8 MB. The maps before the last layer would be 67 MB."""
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 10 < float(done.stdout) < 60
