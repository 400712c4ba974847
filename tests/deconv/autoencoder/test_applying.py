import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from dcgan import images
from dcgan.config import DenoiseApplyConfig
from dcgan.data.decoding.image import decode
from dcgan.deconv import autoencoder
from dcgan.errors import UsageError, UserError


class Echo(nn.Module):
    """A network that gives images back as they are, and remembers their shapes."""

    size, channels = 8, 3

    def __init__(self):
        super().__init__()
        self.anything = nn.Parameter(torch.zeros(1))
        self.seen: list[tuple] = []

    def forward(self, x):
        self.seen.append(tuple(x.shape[1:]))
        return x


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40))
def test_windows_cover_every_pixel_and_leave_no_trace(height, width):
    """Their weights sum to one everywhere: what the network leaves alone comes back the same."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    network = Echo()
    assert (autoencoder.denoise(network, pixels) == pixels).all()
    assert set(network.seen) == {(3, 8, 8)}


def test_windows_blend_without_an_edge():
    """Each window has a grey of its own; neighbours must not differ by more than the ramp does."""

    class Greys(Echo):
        def forward(self, x):
            return torch.linspace(-1, 1, len(x))[:, None, None, None].expand_as(x)

    made = autoencoder.denoise(Greys(), np.zeros((8, 40, 3), np.uint8)).astype(int)
    steps = np.abs(np.diff(made[0, :, 0]))
    assert made.max() - made.min() > 200
    assert steps.max() < 15


def test_an_image_of_the_networks_size_goes_through_it_as_a_whole(denoiser):
    network = autoencoder.load_autoencoder(denoiser)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    expected = images.to_uint8(network(images.to_float(torch.from_numpy(pixels[None]))))[0]
    assert np.abs(autoencoder.denoise(network, pixels).astype(int) - expected.numpy()).max() <= 1


@pytest.mark.parametrize(("mode", "size"), [("RGB", (16, 16)), ("L", (50, 30)), ("RGB", (9, 40))])
def test_a_picture_is_converted_as_packing_does(denoiser, tmp_path, mode, size):
    noisy, clean = tmp_path / "noisy.png", tmp_path / "clean.png"
    shape = (*size[::-1], 3) if mode == "RGB" else size[::-1]
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(noisy)
    assert autoencoder.apply(DenoiseApplyConfig(run=denoiser, picture=noisy, out=clean)) == clean
    packed = decode(noisy.read_bytes(), 16, 3, crop=None)
    network = autoencoder.load_autoencoder(denoiser)
    with Image.open(clean) as made:
        assert made.mode == "RGB"
        assert (np.asarray(made) == autoencoder.denoise(network, packed)).all()


def test_windows_keep_the_size_and_the_upright_side(denoiser, tmp_path):
    noisy, clean = tmp_path / "noisy.jpg", tmp_path / "clean.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    pixels = np.random.default_rng(0).integers(0, 256, (20, 45, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(noisy, exif=exif, quality=100)
    config = DenoiseApplyConfig(run=denoiser, picture=noisy, out=clean, windows=True)
    autoencoder.apply(config)
    network = autoencoder.load_autoencoder(denoiser)
    with Image.open(noisy) as stored, Image.open(clean) as made:
        upright = np.rot90(np.asarray(stored), -1)
        assert (np.asarray(made) == autoencoder.denoise(network, upright)).all()
        assert made.size == (20, 45)


def test_a_picture_that_is_read_is_not_replaced(denoiser, tmp_path):
    noisy = tmp_path / "noisy.png"
    Image.new("RGB", (16, 16)).save(noisy)
    before = noisy.read_bytes()
    with pytest.raises(UserError, match="would be replaced, and is read"):
        autoencoder.apply(DenoiseApplyConfig(run=denoiser, picture=noisy, out=noisy))
    assert noisy.read_bytes() == before


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (0, 8, 3), (1, 8, 8, 3)])
def test_arrays_of_other_shapes_are_refused(shape):
    with pytest.raises(UsageError, match=r"denoise needs an image uint8 \[H, W, 3\], not uint8"):
        autoencoder.denoise(Echo(), np.zeros(shape, np.uint8))
