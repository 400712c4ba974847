"""The encoder against Pillow's decoder."""

import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from dcgan import png

shapes = st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3]))


def decoded(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        assert (picture.format, picture.mode) in (("PNG", "L"), ("PNG", "RGB"))
        pixels = np.asarray(picture)
        return pixels.reshape(*pixels.shape[:2], -1)


@settings(deadline=None)
@given(shapes.flatmap(lambda shape: arrays(np.uint8, shape)))
def test_pillow_reads_the_pixels(image):
    assert np.array_equal(decoded(png.encode(image)), image)


def test_views_are_encoded_as_they_look():
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    for view in (pixels[::2, ::-1], pixels.swapaxes(0, 1), pixels[..., :1]):
        assert np.array_equal(decoded(png.encode(view)), view)


def test_checksums_are_right():
    """Pillow passes over wrong sums of the data's end; other readers do not."""
    content = png.encode(np.full((5, 4, 3), 7, np.uint8))
    kinds, position = [], 8
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        kind, data = content[position + 4 : position + 8], content[position + 8 :][:length]
        stored = content[position + 8 + length : position + 12 + length]
        assert int.from_bytes(stored, "big") == zlib.crc32(kind + data)
        kinds.append(kind)
        position += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]


@pytest.mark.parametrize("what", ["smooth", "flat"])
def test_files_are_about_as_small_as_pillows(what):
    rows, columns = np.mgrid[:64, :64] / 64
    smooth = np.stack([rows, columns, (rows + columns) / 2], -1) * 255
    image = smooth.astype(np.uint8) if what == "smooth" else np.full((64, 64, 3), 90, np.uint8)
    noise = np.random.default_rng(0).integers(0, 6, image.shape, dtype=np.uint8)
    image = image // 2 + noise * (what == "smooth")
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="PNG")
    assert len(png.encode(image)) < 1.3 * content.tell() + 200
