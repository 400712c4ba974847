"""Photos, files of latents and encoders, and the picture of an inversion."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dcgan import images, sampling
from dcgan.config import PrepareConfig
from dcgan.data import prepare
from dcgan.errors import UsageError, UserError
from dcgan.explore import (
    encoder,
    invert_photos,
    load_encoder,
    load_latents,
    obtain_encoder,
    read_photos,
    report_inversion,
    save_latents,
)
from dcgan.explore.inversion import inversion_picture
from dcgan.latent import Inversion
from tests.latent.generators import CLASSES, make_generator


@pytest.fixture(scope="module")
def G():
    return make_generator()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos of several formats, sides and modes."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, mode, size in [
        ("a.jpg", "RGB", (90, 60)),
        ("b.png", "L", (20, 50)),
        ("c.png", "RGBA", (33, 33)),
        ("d.webp", "RGB", (16, 16)),
    ]:
        shape = (size[1], size[0], len(Image.new(mode, (1, 1)).getbands()))
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels.squeeze(), mode).save(folder / name)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("channels", [1, 3])
def test_photos_are_read_as_packing_reads_them(photos, channels, tmp_path):
    G = make_generator(channels=channels, width=2)
    options = dict(source="folder", root=photos[0].parent, size=16, channels=channels)
    packed = prepare(PrepareConfig(**options, out=tmp_path / "packed"))
    assert (read_photos(G, photos) == packed.images).all()
    for i, image in enumerate(packed.images):
        images.save_png(tmp_path / f"{i}.png", image)
    again = read_photos(G, [tmp_path / f"{i}.png" for i in range(4)])
    assert (again == packed.images).all(), "a packed image is its own photo"


def test_what_is_no_photo_is_named(G, tmp_path, photos):
    (tmp_path / "text.png").write_text("no image")
    bomb = bytearray((photos[1]).read_bytes())
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2  # the sides in the header of a PNG
    (tmp_path / "bomb.png").write_bytes(bomb)
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name, words in [
        ("text.png", "is no photo that can be read: not an image"),
        ("bomb.png", "is no photo that can be read: "),
        ("empty.jpg", "is no photo that can be read: empty file"),
        ("none.png", "no such photo"),
        (".", "is a folder: name the photos in it"),
    ]:
        with pytest.raises(UserError, match=words) as caught:
            read_photos(G, [photos[0], tmp_path / name])
        assert str(tmp_path / name) in str(caught.value)
    for none in ([], "photo.png"):
        with pytest.raises(UsageError, match="name from 1 to 10,000 photos"):
            read_photos(G, none)


def test_photos_of_own_samples_give_their_latents(G, tmp_path):
    z = sampling.latents_from_seeds(G, [3, 5])
    (pixels,) = sampling.render(G, z, "fp32")
    for i, image in enumerate(pixels):
        images.save_png(tmp_path / f"{i}.png", image)
    found = invert_photos(G, None, [tmp_path / "0.png", tmp_path / "1.png"])
    torch.testing.assert_close(found.latents, z, atol=0.05, rtol=0)
    assert found.feature_distance is None


def test_a_conditional_generator_sees_the_labels_of_photos(monkeypatch, tmp_path):
    monkeypatch.setattr(encoder, "ENCODER_STEPS", 60)
    G = make_generator(CLASSES)
    z = sampling.latents_from_seeds(G, [0, 1, 2, 3], label="owl")
    (pixels,) = sampling.render(G, z, "fp32")
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path, image in zip(paths, pixels, strict=True):
        images.save_png(path, image)
    seen = invert_photos(G, None, paths).latents
    assert (seen[:, 6:] == z[:, 6:]).all(1).sum() >= 3
    given = invert_photos(G, None, paths, label="owl").latents
    torch.testing.assert_close(given, z, atol=0.05, rtol=0)
    with pytest.raises(UsageError, match="no label 'hen'"):
        invert_photos(G, None, paths, label="hen")


def test_latents_of_a_file_belong_to_one_generator(G, tmp_path):
    path, z = tmp_path / "z.safetensors", torch.randn(3, 6)
    save_latents(path, G, z, [{"file": "ä.png", "psnr": 30.5}] * 3)
    assert torch.equal(load_latents(path, G), z)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["dcgan"])
    assert header["latent_dim"] == 6 and header["images"][2] == {"file": "ä.png", "psnr": 30.5}
    with pytest.raises(UserError, match="have 6 numbers, the generator reads 9"):
        load_latents(path, make_generator(CLASSES))
    other = make_generator()
    other.layers[0].weight.data[0, 0] += 1e-3
    with pytest.raises(UserError, match="are of another generator"):
        load_latents(path, other)


def test_files_that_hold_no_latents_are_refused(G, tmp_path):
    path = tmp_path / "z.safetensors"
    save_latents(path, G, torch.randn(2, 6), [{}, {}])
    content = path.read_bytes()
    for name, damaged in [
        ("short", content[:-5]),
        ("flipped", content[:-1] + bytes([content[-1] ^ 64])),
        ("empty", b""),
        ("text", b"no file of tensors"),
        ("huge header", b"\xff" * 8 + content[8:]),
    ]:
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="not a usable file of latents") as caught:
            load_latents(path, G)
        assert "\n" not in str(caught.value), name
    save_file({"z": torch.randn(2, 6)}, path)
    with pytest.raises(UserError, match="of another program"):
        load_latents(path, G)
    for z in (torch.full((2, 6), torch.nan), torch.randn(6), torch.randn(0, 6)):
        save_latents(path, G, z, [])
        with pytest.raises(UserError, match="not a usable file of latents"):
            load_latents(path, G)
    with pytest.raises(UserError, match="no such file"):
        load_latents(tmp_path / "none.safetensors", G)


def test_an_encoder_is_trained_once_and_belongs_to_its_generator(G, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder, "ENCODER_STEPS", 2)
    path = tmp_path / "encoder.safetensors"
    x = torch.rand(2, 3, 16, 16)
    first = obtain_encoder(G, path)(x)[0]
    monkeypatch.setattr(encoder, "ENCODER_STEPS", 0)
    assert torch.equal(obtain_encoder(G, path)(x)[0], first)
    other = make_generator(width=4)
    with pytest.raises(UserError, match="an encoder of another generator"):
        load_encoder(path, other)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="not a usable file of an encoder"):
        obtain_encoder(G, path)


def test_each_reconstruction_stands_below_its_photo():
    """In rows of 16, with white after the last."""
    originals = np.arange(20, dtype=np.uint8).repeat(8 * 8 * 3).reshape(20, 8, 8, 3)
    made = images.to_float(torch.from_numpy(originals + 100))
    found = Inversion(torch.zeros(20, 2), made, torch.zeros(20), None)
    picture = inversion_picture(originals, found)
    assert picture.shape == (4 * 10 + 2, 16 * 10 + 2, 3)
    centres = picture[6::10, 6::10, 0]
    assert (centres[0] == range(16)).all() and (centres[1] == range(100, 116)).all()
    assert (centres[2] == [16, 17, 18, 19] + [255] * 12).all()
    assert (centres[3] == [116, 117, 118, 119] + [255] * 12).all()


def test_a_report_needs_its_options():
    with pytest.raises(UsageError, match="needs an InvertConfig, not 'run'"):
        report_inversion("run")
