"""Oblong pictures become square by cropping, with bars, or squeezed; packing says what is lost."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from dcgan.config import DataOptions, PrepareConfig
from dcgan.data import open_or_pack, pack, prepare
from dcgan.data.decoding.conversion import Conversion
from dcgan.data.decoding.image import decode
from dcgan.data.sources import open_source
from dcgan.errors import UsageError
from tests.data.test_decoding import STORED, encode, picture


def disc(width: int, height: int) -> Image.Image:
    """A white disc in the middle of a black picture, half as wide as its shorter side."""
    image = Image.new("RGB", (width, height))
    radius, x, y = min(width, height) / 4, width / 2, height / 2
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), "white")
    return image


def extent(image: np.ndarray) -> tuple[int, int]:
    """Width and height of what is bright."""
    bright = image.max(-1) > 127
    return int(bright.any(0).sum()), int(bright.any(1).sum())


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize(("width", "height"), [(960, 640), (640, 960), (1000, 250)])
def test_proportions_are_kept_by_bars_and_changed_by_squeezing(width, height, format):
    data, diameter = encode(disc(width, height), format), min(width, height) / 2
    padded = decode(data, 64, 3, None, Conversion("pad"))
    expected = diameter * 64 / max(width, height)
    assert np.abs(np.subtract(extent(padded), expected)).max() <= 1
    squeezed = decode(data, 64, 3, None, Conversion("squeeze"))
    expected = diameter * 64 / width, diameter * 64 / height
    assert np.abs(np.subtract(extent(squeezed), expected)).max() <= 1


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([8, 16, 33]))
def test_bars_are_black_and_the_rest_is_the_whole_picture(width, height, size):
    data = encode(Image.new("RGB", (width, height), (200, 100, 50)))
    out = decode(data, size, 3, None, Conversion("pad"))
    columns, rows = (-(-side * size // max(width, height)) for side in (width, height))
    left, top = (size - columns) // 2, (size - rows) // 2
    expected = np.zeros((size, size, 3), np.uint8)
    expected[top : top + rows, left : left + columns] = (200, 100, 50)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize("fit", ["pad", "squeeze"])
def test_no_pixels_are_left_out(fit, format):
    """The mean of the training image is that of the picture, whose ends are brightest."""
    ramp = np.abs(np.linspace(-255, 255, 1536)).astype(np.uint8)
    image = Image.fromarray(np.broadcast_to(ramp, (512, 1536)))
    out = decode(encode(image, format), 64, 1, None, Conversion(fit)).astype(float)
    share = {"pad": 22 / 64, "squeeze": 1}[fit]  # 64 / 3 rows, rounded up
    assert abs(out.mean() - ramp.mean() * share) < 0.5
    cropped = decode(encode(image, format), 64, 1, None).astype(float)
    assert cropped.mean() < 0.4 * ramp.mean()


@pytest.mark.parametrize("fit", ["crop", "pad", "squeeze"])
def test_square_pictures_are_the_same_in_every_fit(fit):
    data = encode(picture(77, 77))
    np.testing.assert_array_equal(
        decode(data, 32, 3, None, Conversion(fit)), decode(data, 32, 3, None)
    )


@pytest.mark.parametrize("tag", STORED)
@pytest.mark.parametrize("fit", ["pad", "squeeze"])
def test_an_oriented_image_equals_the_upright_one(tag, fit):
    upright = picture(97, 62)  # 21 of 32 rows: the bars differ by one
    stored = Image.fromarray(np.ascontiguousarray(STORED[tag](np.asarray(upright))))
    exif = Image.Exif()
    exif[0x0112] = tag
    out = decode(encode(stored, exif=exif), 32, 3, None, Conversion(fit))
    expected = decode(encode(upright), 32, 3, None, Conversion(fit))
    assert abs(out.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize(("width", "height"), [(1500, 500), (4000, 3), (7, 2500), (801, 607)])
@pytest.mark.parametrize("fit", ["pad", "squeeze"])
def test_a_jpeg_decoded_at_a_reduced_size_looks_the_same(width, height, fit, subsampling):
    data = encode(picture(width, height), "JPEG", quality=95, subsampling=subsampling)
    whole = encode(Image.open(io.BytesIO(data)))
    out, expected = (decode(file, 32, 3, None, Conversion(fit)) for file in (data, whole))
    assert np.abs(out.astype(int) - expected).mean() < 2


class TestPacking:
    @pytest.fixture
    def root(self, tmp_path) -> Path:
        """Four pictures of 3:1, of which cropping leaves out two thirds, and four squares."""
        root = tmp_path / "raw"
        root.mkdir()
        for i in range(8):
            picture(96, 32 if i % 2 else 96, seed=i).save(root / f"{i}.png")
        return root

    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_large_loss_is_said_with_the_cure(self, root, tmp_path, workers, capsys):
        source = open_source(DataOptions(source="folder", root=root))
        source.chunk = 3
        remark = (
            "the centre crop leaves out 33% of the pixels on average: "
            "--fit pad or squeeze keeps them"
        )
        packed = pack(source, tmp_path / "crop", 16, 3, workers=workers)
        assert packed.meta["notes"] == [remark]
        assert remark in capsys.readouterr().err
        for number, options in enumerate([{"crop": 32}, {"fit": "pad"}, {"fit": "squeeze"}]):
            packed = pack(source, tmp_path / str(number), 16, 3, workers=workers, **options)
            assert packed.meta["notes"] == []
            assert packed.meta["fit"] == options.get("fit", "crop")
        assert "leaves out" not in capsys.readouterr().err

    def test_a_small_loss_is_not_said(self, tmp_path):
        picture(96, 80).save(tmp_path / "0.png")
        source = open_source(DataOptions(source="folder", root=tmp_path))
        assert pack(source, tmp_path / "out", 16, 3).meta["notes"] == []

    def test_every_fit_has_its_own_images(self, root, tmp_path):
        options = DataOptions(source="folder", root=root, workers=1)
        found = {
            fit: open_or_pack(replace(options, fit=fit), 16, 3, tmp_path / "cache")
            for fit in ("crop", "pad", "squeeze")
        }
        assert len({packed.folder for packed in found.values()}) == 3
        found_by = replace(options, fit="pad")
        by_hand = prepare(PrepareConfig(**vars(found_by), size=16, out=tmp_path / "pad"))
        assert json.loads((by_hand.folder / "meta.json").read_text())["fit"] == "pad"
        np.testing.assert_array_equal(by_hand.images, found["pad"].images)
        for fit, packed in found.items():
            expected = decode((root / "3.png").read_bytes(), 16, 3, None, Conversion(fit))
            np.testing.assert_array_equal(packed.images[3], expected)

    def test_fits_that_do_not_apply_are_refused(self, root, tmp_path):
        options = dict(source="folder", root=root, size=16, out=tmp_path / "out")
        with pytest.raises(UsageError, match="--crop cuts out a square"):
            PrepareConfig(**options, fit="pad", crop=16)
        with pytest.raises(UsageError, match="--fit must be one of crop, pad, squeeze"):
            PrepareConfig(**options, fit="stretch")
        with pytest.raises(UsageError, match="--fit pad does not apply to faces"):
            open_source(DataOptions(source="faces", fit="pad"))

    def test_the_usual_crop_of_a_data_set_gives_way(self, root, tmp_path):
        source = open_source(DataOptions(source="folder", root=root))
        source.default_crop = 32
        packed = pack(source, tmp_path / "out", 16, 3, fit="squeeze")
        assert packed.meta["crop"] is None
        expected = decode((root / "1.png").read_bytes(), 16, 3, None, Conversion("squeeze"))
        np.testing.assert_array_equal(packed.images[1], expected)
