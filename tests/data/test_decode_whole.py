"""Pictures decoded in their own size."""

import io

import numpy as np
import pytest
from PIL import Image

from dcgan.data.decoding import BadImage
from dcgan.data.decoding.image import decode, decode_whole


def encoded(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def pictures() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    rgba = rng.integers(0, 256, (12, 12, 4), dtype=np.uint8)
    deep = rng.integers(0, 2**16, (12, 12), dtype=np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 5
    return {
        "colour": encoded(Image.fromarray(rgb)),
        "grey": encoded(Image.fromarray(rgb[..., 0])),
        "palette": encoded(Image.fromarray(rgb).quantize(16)),
        "transparent": encoded(Image.fromarray(rgba)),
        "16 bits": encoded(Image.fromarray(deep)),
        "turned": encoded(Image.fromarray(rgb), exif=exif),
        "tiff": encoded(Image.fromarray(rgb), "TIFF"),
    }


@pytest.mark.parametrize("name", pictures())
@pytest.mark.parametrize("channels", [1, 3])
def test_a_square_is_what_packing_makes_of_it_in_its_own_size(name, channels):
    data = pictures()[name]
    whole = decode_whole(io.BytesIO(data), channels)
    assert whole.dtype == np.uint8 and whole.flags.c_contiguous
    assert (whole == decode(data, 12, channels, crop=None)).all()


def test_an_oblong_picture_is_kept_whole_and_turned_upright():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 9, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = decode_whole(io.BytesIO(encoded(Image.fromarray(pixels), exif=exif)), 3)
    assert (upright == np.rot90(pixels, -1)).all()


@pytest.mark.parametrize("data", [b"", b"no picture", pictures()["colour"][:60]])
def test_damaged_files_are_bad_images(data):
    with pytest.raises(BadImage):
        decode_whole(io.BytesIO(data), 3)
