"""Every kind of file that training sets hold comes out as the picture it shows, or as a reason."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dcgan.data import decode as module
from dcgan.data.decode import BadImage, decode


def encode(image, format="PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def picture(width=96, height=64, seed=0) -> Image.Image:
    """A smooth picture without symmetries."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(80, 176, (5, 7, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def psnr(a, b) -> float:
    return 10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9))


def lanczos(signal: np.ndarray, size: int) -> np.ndarray:
    """Antialiased Lanczos-3 of the first axis in double precision, from its definition."""
    scale = len(signal) / size
    centres = (np.arange(size) + 0.5) * scale
    distance = (np.arange(len(signal)) + 0.5 - centres[:, None]) / max(scale, 1)
    weights = np.sinc(distance) * np.sinc(distance / 3) * (abs(distance) < 3)
    weights /= weights.sum(1, keepdims=True)
    return np.tensordot(weights, signal, 1)


@pytest.mark.parametrize("size", [24, 64, 96])
def test_it_is_the_antialiased_lanczos_resize_of_the_centre(size):
    source = picture(96, 64)
    middle = np.asarray(source, float)[:, 16:80]
    expected = lanczos(lanczos(middle, size).swapaxes(0, 1), size).swapaxes(0, 1)
    out = decode(encode(source), size, 3, None)
    assert out.shape == (size, size, 3)
    assert out.dtype == np.uint8
    # Pillow rounds between its two passes and computes with 8-bit precision weights.
    assert abs(out - expected.clip(0, 255)).max() <= 2


def test_a_crop_of_the_final_size_is_not_resampled():
    out = decode(encode(picture(96, 64)), 32, 3, crop=32)
    np.testing.assert_array_equal(out, np.asarray(picture(96, 64))[16:48, 32:64])


def test_a_picture_smaller_than_the_crop_is_refused():
    """The crop is recorded, and results differ by it: it must be that of every picture."""
    data = encode(picture(96, 64))
    np.testing.assert_array_equal(decode(data, 32, 3, 64), decode(data, 32, 3, None))
    with pytest.raises(BadImage, match="96 x 64 pixels: less than the crop of 65"):
        decode(data, 32, 3, 65)


def test_a_constant_stays_constant_at_any_scale():
    for width, height in [(1, 1), (1, 500), (3, 2), (640, 480)]:
        out = decode(encode(Image.new("RGB", (width, height), (7, 130, 250))), 32, 3, None)
        assert (out == (7, 130, 250)).all()


def test_grey_is_luma():
    colours = Image.new("RGB", (8, 8), (200, 100, 50))
    assert (decode(encode(colours), 8, 1, None) == round(0.299 * 200 + 0.587 * 100 + 5.7)).all()
    assert decode(encode(colours), 8, 1, None).shape == (8, 8, 1)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP", "GIF", "JPEG"])
def test_formats_are_told_by_their_content(format):
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 98, "subsampling": 0}}
    out = decode(encode(picture(), format, **options.get(format, {})), 64, 3, None)
    expected = decode(encode(picture()), 64, 3, None)
    assert psnr(out, expected) > (25 if format == "GIF" else 38)


class TestDraft:
    @pytest.mark.parametrize("crop", [None, 700])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_decoding_at_a_reduced_size_changes_next_to_nothing(self, crop, channels, monkeypatch):
        rng = np.random.default_rng(0)
        texture = rng.normal(0, 12, (1003, 1501, 3))
        source = np.clip(np.asarray(picture(1501, 1003)) + texture, 0, 255).astype(np.uint8)
        data = encode(Image.fromarray(source), "JPEG", quality=92, subsampling=0)
        fast = decode(data, 64, channels, crop)
        monkeypatch.setattr(Image.Image, "draft", lambda *_: None)
        monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", lambda *_: None)
        assert psnr(fast, decode(data, 64, channels, crop)) > 42

    def test_it_is_used_for_large_pictures_only(self):
        seen = []
        real = module.to_mode

        def spy(image, mode):
            seen.append(image.size)
            return real(image, mode)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "to_mode", spy)
            for side in (1024, 200):
                decode(encode(picture(side, side), "JPEG"), 64, 3, None)
        assert seen == [(128, 128), (200, 200)]


class TestColourModes:
    def test_transparency_lies_on_white(self):
        colour = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
        assert abs(decode(encode(colour), 8, 3, None).astype(int) - (255, 127, 127)).max() <= 1
        grey = Image.new("LA", (8, 8), (0, 64))
        assert abs(decode(encode(grey), 8, 3, None).astype(int) - 191).max() <= 1
        hidden = Image.new("RGBA", (8, 8), (1, 2, 3, 0))
        assert (decode(encode(hidden), 8, 3, None) == 255).all()

    def test_palettes_with_one_and_with_many_transparent_entries(self):
        image = Image.new("P", (8, 8), 1)
        image.putpalette([0, 0, 0, 10, 200, 30])
        assert (decode(encode(image), 8, 3, None) == (10, 200, 30)).all()
        assert (decode(encode(image, transparency=1), 8, 3, None) == 255).all()
        half = decode(encode(image, transparency=b"\xff\x80"), 8, 3, None)
        assert abs(half.astype(int) - (132, 227, 142)).max() <= 1
        assert (decode(encode(image, "GIF", transparency=1), 8, 3, None) == 255).all()

    def test_one_bit(self):
        image = Image.new("1", (8, 8), 1)
        assert (decode(encode(image), 8, 3, None) == 255).all()
        assert (decode(encode(image, "TIFF", compression="group4"), 8, 1, None) == 255).all()

    def test_cmyk_jpeg(self):
        image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
        out = decode(encode(image, "JPEG", quality=98), 16, 3, None).astype(int)
        assert abs(out - (255, 0, 0)).max() <= 4

    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    def test_16_bit_grey_is_scaled_and_not_clipped(self, format):
        ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
        out = decode(encode(Image.fromarray(ramp), format), 64, 3, None)
        np.testing.assert_array_equal(out, np.repeat((ramp >> 8)[..., None], 3, 2))

    def test_16_bit_colour(self):
        rows = b"".join(b"\0" + struct.pack(">3H", 65535, 32768, 0) * 4 for _ in range(4))
        out = decode(png(4, 4, depth=16, colour=2, data=rows), 4, 3, None)
        assert (out == (255, 128, 0)).all()

    def test_32_bit_is_taken_where_the_values_are_16_bit(self):
        small = Image.fromarray(np.full((8, 8), 51400, np.int32))
        assert (decode(encode(small, "TIFF"), 8, 1, None) == 200).all()
        for value in (70_000, -1):
            with pytest.raises(BadImage, match="no defined range"):
                decode(
                    encode(Image.fromarray(np.full((8, 8), value, np.int32)), "TIFF"), 8, 1, None
                )
        with pytest.raises(BadImage, match="no defined range"):
            decode(encode(Image.fromarray(np.zeros((8, 8), np.float32)), "TIFF"), 8, 1, None)


STORED = {  # how the upright picture is stored, for each EXIF orientation
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: lambda a: np.rot90(a, -1),
}


class TestOrientation:
    @pytest.mark.parametrize("tag", STORED)
    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    @pytest.mark.parametrize("crop", [None, 32])
    def test_it_equals_the_picture_turned_upright_before(self, tag, format, crop):
        upright = picture(97, 65)  # margins that do not halve
        stored = Image.fromarray(np.ascontiguousarray(STORED[tag](np.asarray(upright))))
        exif = Image.Exif()
        exif[0x0112] = tag
        out = decode(encode(stored, format, exif=exif), 32, 3, crop)
        expected = decode(encode(upright), 32, 3, crop)
        # Pillow resizes x first: a transposed picture is rounded elsewhere.
        assert abs(out.astype(int) - expected).max() <= 1

    def test_broken_exif_does_not_lose_the_picture(self):
        data = encode(picture(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\xff\xff")
        np.testing.assert_array_equal(
            decode(data, 32, 3, None), decode(encode(picture(), "JPEG"), 32, 3, None)
        )


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(format):
    red, blue = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(red, format, save_all=True, append_images=[blue], **options)
    assert (decode(data, 8, 3, None) == (255, 0, 0)).all()


class TestBadImages:
    def test_the_reason_is_short_and_says_what_is_wrong(self):
        for data, reason in [
            (b"", "empty file"),
            (b"this is text", "not an image"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image"),
            (encode(picture(), "JPEG")[:1000], "truncated"),
            (encode(picture(), "JPEG")[:20], "."),
            (encode(picture())[:500], "."),
            (encode(picture(), "GIF")[:300], "."),
            (encode(picture(), "WEBP")[:300], "."),
            (encode(picture(), "TIFF")[:300], "."),
            (encode(picture(), "BMP")[:300], "."),
        ]:
            with pytest.raises(BadImage, match=reason) as caught:
                decode(data, 32, 3, None)
            assert len(caught.value.reason) <= 120
            assert "\n" not in caught.value.reason

    @pytest.mark.parametrize("side", [12_000, 60_000, 2**31 - 1])
    def test_a_bomb_is_refused_before_it_is_decoded(self, side):
        with pytest.raises(BadImage, match="pixels"):
            decode(png(side, side, data=b"\0" * 1000), 32, 3, None)

    def test_a_text_chunk_that_inflates_without_end_is_refused(self):
        text = b"comment\0\0" + zlib.compress(bytes(50_000_000))
        with pytest.raises(BadImage):
            decode(png(4, 4, data=b"\0" * 100, extra=chunk(b"zTXt", text)), 32, 3, None)

    def test_a_damaged_check_sum_is_bad(self):
        data = bytearray(encode(picture()))
        data[data.index(b"IDAT") + 100] ^= 0xFF
        with pytest.raises(BadImage):
            decode(bytes(data), 32, 3, None)

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
    def test_random_damage_gives_a_picture_or_a_reason_and_nothing_else(self, format):
        data = encode(picture(40, 40), format)
        rng = np.random.default_rng(0)
        for _ in range(100):
            damaged = np.frombuffer(data, np.uint8).copy()
            where = rng.integers(0, len(damaged), 8)
            damaged[where] = rng.integers(0, 256, 8)
            with contextlib.suppress(BadImage):
                assert decode(damaged.tobytes(), 16, 3, None).shape == (16, 16, 3)


def chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def png(width, height, data, depth=8, colour=0, extra=b"") -> bytes:
    """A PNG written by hand, that may declare what it does not hold."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b"")
