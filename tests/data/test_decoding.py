"""Files of every kind are decoded to the image they show, or refused with a reason."""

import contextlib
import io
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dcgan.data import faces
from dcgan.data.decoding import image as module
from dcgan.data.decoding import jpeg, modes, opening
from dcgan.data.decoding.conversion import Conversion
from dcgan.data.decoding.image import decode
from dcgan.data.decoding.opening import BadImage
from dcgan.data.decoding.placement import choose_reduction, place


def encode(image, format="PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def picture(width=96, height=64, seed=0) -> Image.Image:
    """A smooth picture without symmetries."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(80, 176, (5, 7, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def plain(*arguments) -> np.ndarray | None:
    decoded = module._decode_plain_jpeg(*arguments, Conversion())
    return None if decoded is None else decoded[0]


def psnr(a, b) -> float:
    return 10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9))


def photograph(width, height, seed=0) -> Image.Image:
    """A picture like a photograph: edges, gradients and noise."""
    face = Image.fromarray(faces.render([seed], 256).images[0].numpy())
    noise = np.random.default_rng(seed).normal(0, 5, (height, width, 3))
    pixels = np.asarray(face.resize((width, height), Image.Resampling.BICUBIC)) + noise
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def reference(pixels: np.ndarray, size: int) -> np.ndarray:
    """Antialiased Lanczos-3 of a square in double precision, from its definition."""
    scale = len(pixels) / size
    centres = (np.arange(size) + 0.5) * scale
    distance = (np.arange(len(pixels)) + 0.5 - centres[:, None]) / max(scale, 1)
    weights = np.sinc(distance) * np.sinc(distance / 3) * (abs(distance) < 3)
    weights /= weights.sum(1, keepdims=True)
    return np.einsum("yj,jkc,xk->yxc", weights, pixels, weights, optimize=True).clip(0, 255)


@pytest.mark.parametrize("size", [24, 64, 96])
def test_decoding_is_the_antialiased_lanczos_resize_of_the_centre(size):
    source = picture(96, 64)
    expected = reference(np.asarray(source, float)[:, 16:80], size)
    out = decode(encode(source), size, 3, None)
    assert out.shape == (size, size, 3)
    assert out.dtype == np.uint8
    # It is rounded once between the two passes, and once after them.
    assert abs(out - expected).max() <= 1.5


def test_a_crop_of_the_final_size_is_not_resampled():
    out = decode(encode(picture(96, 64)), 32, 3, crop=32)
    np.testing.assert_array_equal(out, np.asarray(picture(96, 64))[16:48, 32:64])


def test_an_image_smaller_than_the_crop_is_refused():
    """The crop in meta.json must be that of every image."""
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
def test_formats_are_recognised_by_their_content(format):
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 98, "subsampling": 0}}
    out = decode(encode(picture(), format, **options.get(format, {})), 64, 3, None)
    expected = decode(encode(picture()), 64, 3, None)
    assert psnr(out, expected) > (25 if format == "GIF" else 38)


class TestDraft:
    @pytest.mark.parametrize("crop", [None, 700])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_decoding_at_a_reduced_size_changes_pixels_only_slightly(
        self, crop, channels, monkeypatch
    ):
        rng = np.random.default_rng(0)
        texture = rng.normal(0, 12, (1003, 1501, 3))
        source = np.clip(np.asarray(picture(1501, 1003)) + texture, 0, 255).astype(np.uint8)
        data = encode(Image.fromarray(source), "JPEG", quality=92, subsampling=0)
        fast = decode(data, 64, channels, crop)
        monkeypatch.setattr(Image.Image, "draft", lambda *_: None)
        monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", lambda *_: None)
        assert psnr(fast, decode(data, 64, channels, crop)) > 42

    @pytest.mark.parametrize(("side", "scale"), [(1024, 8), (683, 8), (682, 4), (178, 2), (170, 1)])
    def test_four_thirds_of_the_final_resolution_are_kept(self, side, scale):
        found = place(side + 40, side, 64, None, "crop")
        assert choose_reduction(found, side + 40, side) == scale
        assert choose_reduction(place(2000, 1500, 64, side, "crop"), 2000, 1500) == scale
        assert choose_reduction(place(side, side // 3, 64, None, "pad"), side, side // 3) == scale
        found = place(3 * side, side, 64, None, "squeeze")
        assert choose_reduction(found, 3 * side, side) == scale

    @settings(max_examples=40, deadline=None)
    @given(
        side=st.integers(40, 420),
        margin=st.integers(0, 40),
        size=st.sampled_from([32, 64, 128]),
        quality=st.integers(70, 95),
        subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
        progressive=st.booleans(),
    )
    def test_a_reduced_decode_is_closer_to_lanczos_than_a_full_decode_with_bilinear_resize(
        self, side, margin, size, quality, subsampling, progressive
    ):
        """Lanczos of all pixels in double precision; torchvision's antialiased bilinear resize,
        without its rounding of the crop.
        """
        if side <= size:
            return
        source = photograph(side + margin, side, seed=side)
        options = {"quality": quality, "subsampling": subsampling, "progressive": progressive}
        data = encode(source, "JPEG", **options)
        left = margin // 2
        pixels = np.asarray(Image.open(io.BytesIO(data)))[:, left : left + side]
        bilinear = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
        ours = decode(data, size, 3, None)
        ideal = reference(pixels, size)
        assert psnr(ours, ideal) > psnr(np.asarray(bilinear), ideal) + 1


@pytest.fixture
def pillow_alone(monkeypatch):
    """A function that decodes without simplejpeg."""

    def alone(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(jpeg, "simplejpeg", None)
            return outcome(*arguments)

    return alone


def outcome(*arguments):
    try:
        return decode(*arguments).tobytes()
    except BadImage as error:
        return error.reason


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_colours_are_not_reduced_more_than_brightness(subsampling):
    """libjpeg halves colours twice along x where they are stored at half the width only there."""
    y, x = np.mgrid[:481, :641] / 30
    waves = np.stack([np.sin(x + y), np.sin(x - 2 * y), np.sin(2 * x + y)], -1) * 100 + 128
    picture = Image.fromarray(waves.astype(np.uint8))
    data = encode(picture, "JPEG", subsampling=subsampling, quality=95)
    whole = Image.open(io.BytesIO(data)).convert("RGB").crop((80, 0, 561, 481))
    expected = np.asarray(whole.resize((64, 64), Image.Resampling.LANCZOS), float)
    assert np.abs(module.decode(data, 64, 3, None) - expected).mean() < 1


def test_an_orientation_in_xmp_is_applied():
    upright = photograph(90, 60)
    note = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    )
    body = b"http://ns.adobe.com/xap/1.0/\0" + note
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    plain = encode(upright, "JPEG")
    turned = plain[:2] + segment + plain[2:]
    expected = np.rot90(module.decode(plain, 16, 3, None), -1).astype(float)
    assert np.abs(module.decode(turned, 16, 3, None) - expected).mean() < 3


class TestPlainJpegs:
    """simplejpeg gives the same pixels as Pillow, bit for bit."""

    @pytest.fixture(autouse=True)
    def installed(self):
        pytest.importorskip("simplejpeg")

    @pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
    @pytest.mark.parametrize("progressive", [False, True])
    @pytest.mark.parametrize("shape", [(178, 218), (333, 97), (16, 16), (1, 5), (901, 1203)])
    def test_simplejpeg_gives_the_pixels_of_pillow(
        self, shape, progressive, subsampling, pillow_alone
    ):
        colour = photograph(*shape)
        options = {"progressive": progressive, "subsampling": subsampling}
        grey = encode(colour.convert("L"), "JPEG")
        for data in (encode(colour, "JPEG", **options), grey):
            is_plain = data is grey or subsampling != "4:2:2"
            for size, channels in [(16, 3), (64, 1), (64, 3), (128, 3)]:
                assert (plain(data, size, channels, None) is not None) == is_plain
                assert outcome(data, size, channels, None) == pillow_alone(
                    data, size, channels, None
                )

    def test_other_jpegs_are_left_to_pillow(self):
        colour = photograph(60, 50)
        exif = Image.Exif()
        exif[0x0112] = 6
        for data in (
            encode(colour, "JPEG", exif=exif),
            encode(colour.convert("CMYK"), "JPEG"),
            encode(colour, "JPEG", keep_rgb=True),
            encode(colour, "PNG"),
            b"",
            b"\xff\xd8\xff",
        ):
            assert plain(data, 16, 3, None) is None
        assert plain(encode(colour, "JPEG"), 16, 3, 51) is None

    def test_damaged_jpegs_are_refused_for_the_same_reasons(self, pillow_alone):
        rng = np.random.default_rng(0)
        wholes = [
            encode(photograph(90, 70), "JPEG", progressive=progressive) for progressive in (0, 1)
        ]
        told_apart = set()
        for i in range(600):
            damaged = bytearray(wholes[i % 2])
            if i % 3:
                for where in rng.integers(0, 600 if i % 5 else len(damaged), 1 + i % 4):
                    damaged[where] = rng.integers(256)
            else:
                del damaged[rng.integers(len(damaged)) :]
            data = bytes(damaged)
            result = outcome(data, 16, 3, None)
            assert result == pillow_alone(data, 16, 3, None)
            told_apart.add((isinstance(result, str), plain(data, 16, 3, None) is not None))
        assert told_apart == {(True, False), (False, False), (False, True)}


class TestColourModes:
    def test_transparency_is_composited_on_white(self):
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

    def test_one_bit_images_are_black_and_white(self):
        image = Image.new("1", (8, 8), 1)
        assert (decode(encode(image), 8, 3, None) == 255).all()
        assert (decode(encode(image, "TIFF", compression="group4"), 8, 1, None) == 255).all()

    def test_a_cmyk_jpeg_has_its_colours(self):
        image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
        out = decode(encode(image, "JPEG", quality=98), 16, 3, None).astype(int)
        assert abs(out - (255, 0, 0)).max() <= 4

    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    def test_16_bit_grey_is_scaled_and_not_clipped(self, format):
        ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
        out = decode(encode(Image.fromarray(ramp), format), 64, 3, None)
        np.testing.assert_array_equal(out, np.repeat((ramp >> 8)[..., None], 3, 2))

    def test_16_bit_colour_keeps_its_high_bytes(self):
        rows = b"".join(b"\0" + struct.pack(">3H", 65535, 32768, 0) * 4 for _ in range(4))
        out = decode(png(4, 4, depth=16, colour=2, data=rows), 4, 3, None)
        assert (out == (255, 128, 0)).all()

    @pytest.mark.parametrize("kind", [np.int32, np.float32])
    @pytest.mark.parametrize("value", [200, 51400, 2**31 - 1, -1])
    def test_32_bit_grey_is_refused(self, kind, value):
        """Taken for 16 bits, the 8 bits that some writers store there would be black."""
        image = Image.fromarray(np.full((8, 8), value).astype(kind))
        with pytest.raises(BadImage, match="32-bit pixels have no defined range"):
            decode(encode(image, "TIFF"), 8, 1, None)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_conversion_in_bands_gives_the_same_pixels(mode, channels, monkeypatch):
    image = picture(50, 37)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 256)
    elif mode == "PA":
        image = image.convert("P")
        image.info["transparency"] = bytes(range(256))
    else:
        image = image.convert(mode)
    data = encode(image, "TIFF" if mode == "CMYK" else "PNG")
    expected = decode(data, 16, channels, 30)
    monkeypatch.setattr(modes, "_BAND_PIXELS", 7 * 30)
    np.testing.assert_array_equal(decode(data, 16, channels, 30), expected)


STORED = {  # how the upright picture is stored, for each EXIF orientation
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: lambda a: np.rot90(a, -1),
}


class TestPnm:
    """PPM, PGM and PBM, of bytes and of text, with any largest value."""

    @pytest.mark.parametrize("largest", [1, 15, 255, 1023, 4095, 65535])
    @pytest.mark.parametrize("text", [False, True])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_values_are_scaled_to_all_of_8_bits(self, largest, text, channels):
        rng = np.random.default_rng(largest)
        values = rng.integers(0, largest, (16, 16, channels), endpoint=True)
        values[0, :2] = [[0], [largest]]
        kind = {(1, False): 5, (3, False): 6, (1, True): 2, (3, True): 3}[channels, text]
        data = values.astype(">u2" if largest > 255 else "u1").tobytes()
        if text:
            data = " ".join(map(str, values.ravel())).encode()
        decoded = decode(b"P%d\n# a comment\n16 16\n%d\n" % (kind, largest) + data, 16, 3, None)
        expected = np.broadcast_to(values / largest * 255, (16, 16, 3))
        np.testing.assert_allclose(decoded, expected, atol=1)  # 16 bits keep their high byte
        assert decoded[0, :2].tolist() == [[0] * 3, [255] * 3]

    def test_bits_of_1_are_black(self):
        bits = np.random.default_rng(0).integers(0, 2, (16, 16))
        for data in (
            b"P4 16 16\n" + np.packbits(bits, axis=1).tobytes(),
            b"P1 16 16\n" + b"".join(b"%d" % bit for bit in bits.ravel()),
        ):
            np.testing.assert_array_equal(decode(data, 16, 1, None)[..., 0], 255 * (1 - bits))

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"Pf 2 2 1.0\n" + bytes(16), "32-bit pixels"),
            (b"P6 9000 8000 254\n", "a PNM of 216,000,000 numbers"),
            (b"P3 9000 8000 255\n", "a PNM of 216,000,000 numbers"),
            (b"P5 100000 100000 255\n", "more than 134,217,728 pixels"),
            (b"P5 20 20 255\n" + bytes(399), "truncated"),
            (b"P2 2 2 255 1 2 300 4", "too large"),
        ],
    )
    def test_hostile_and_damaged_ones_are_refused(self, data, reason):
        with pytest.raises(BadImage, match=reason):
            decode(data, 2, 1, None)


class TestOrientation:
    @pytest.mark.parametrize("tag", STORED)
    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    @pytest.mark.parametrize("crop", [None, 32])
    def test_an_oriented_image_equals_the_upright_one(self, tag, format, crop):
        upright = picture(97, 65)  # margins that do not halve
        stored = Image.fromarray(np.ascontiguousarray(STORED[tag](np.asarray(upright))))
        exif = Image.Exif()
        exif[0x0112] = tag
        out = decode(encode(stored, format, exif=exif), 32, 3, crop)
        expected = decode(encode(upright), 32, 3, crop)
        # y is resized first: a transposed picture is rounded elsewhere.
        assert abs(out.astype(int) - expected).max() <= 1

    def test_damaged_exif_does_not_lose_the_image(self):
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
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "HEIC, not read here: convert it to PNG or JPEG"),
            (b"\0\0\0\x1cftypavif\0\0\0\0mif1", "AVIF, not read here: convert it to PNG or JPEG"),
            (b"\x89PNG\r\n\x1a\n" + bytes(99), "damaged: its header cannot be read"),
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
    def test_a_decompression_bomb_is_refused_before_it_is_decoded(self, side):
        with pytest.raises(BadImage, match="pixels"):
            decode(png(side, side, data=b"\0" * 1000), 32, 3, None)

    def test_a_file_that_is_too_long_is_refused_before_it_is_read(self, tmp_path):
        """The file is sparse; Pillow would read all of a WebP."""
        with open(tmp_path / "a.webp", "w+b", buffering=0) as file:
            file.write(b"RIFF\xff\xff\xff\x7fWEBPVP8 \xf0\xff\xff\x7f")
            file.truncate(opening._MAX_FILE_BYTES + 1)
            with pytest.raises(BadImage, match="536,870,913 bytes, more than 536,870,912"):
                decode(file, 32, 3, None)

    def test_a_jpeg_of_too_many_scans_is_refused(self):
        """Decoding this file of 60 KB would take 21 s."""
        data = encode(Image.new("L", (2048, 2048)), "JPEG", progressive=True)
        last = data[data.rindex(b"\xff\xda") : -2]
        assert decode(data[:-2] + 9 * last + data[-2:], 32, 3, None).shape == (32, 32, 3)
        many = data[:-2] + 2000 * last + data[-2:]
        for file in (many, many + bytes(module._MAX_BYTES_AT_ONCE)):
            with pytest.raises(BadImage, match=r"2,0\d\d scans of 2048 x 2048 pixels"):
                decode(file, 32, 3, None)

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("big", [False, True])
    @pytest.mark.parametrize("tag", [256, 324])
    def test_a_tiff_tag_of_too_many_numbers_is_refused(self, order, big, tag):
        """Pillow makes an object of each: a file of 2 MB took 10 s, one of 3 GB did not end."""
        head = {"<": b"II", ">": b"MM"}[order]
        if big:
            head += struct.pack(order + "HHHQQ", 43, 8, 0, 16, 1)
            entry = struct.pack(order + "HHQQ", tag, 4, 300_000, 36)
        else:
            head += struct.pack(order + "HIH", 42, 8, 1)
            entry = struct.pack(order + "HHII", tag, 4, 300_000, 22)
        with pytest.raises(BadImage, match="a TIFF tag of 300,000 numbers"):
            decode(head + entry + bytes(4 * 300_000 + 8), 32, 3, None)

    def test_a_tiff_with_a_long_colour_profile_is_decoded(self):
        data = encode(picture(), "TIFF", icc_profile=bytes(opening._MAX_TAG_NUMBERS + 1))
        assert decode(data, 32, 3, None).shape == (32, 32, 3)

    def test_a_tiff_is_decoded_even_if_stderr_is_closed(self, monkeypatch):
        def closed(_):
            raise OSError(9, "Bad file descriptor")

        monkeypatch.setattr("dcgan.data.decoding.image.os.dup", closed)
        data = encode(picture().convert("1"), "TIFF", compression="tiff_lzw")
        assert decode(data, 32, 3, None).shape == (32, 32, 3)

    @pytest.mark.slow
    @pytest.mark.skipif(sys.platform != "linux", reason="measured as Linux tells")
    def test_the_largest_picture_takes_less_than_a_gigabyte(self, tmp_path):
        """11,585 x 11,585 pixels with alpha, in half a megabyte."""
        side, deflate = 11_585, zlib.compressobj(9)
        rows = [deflate.compress(bytes(4 * side + 1)) for _ in range(side)]
        data = png(side, side, b"", colour=6, packed=b"".join(rows) + deflate.flush())
        (tmp_path / "a.png").write_bytes(data)
        code = (
            "import resource, sys; from dcgan.data.decoding.image import decode\n"
            "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "before = peak(); decode(open(sys.argv[1], 'rb'), 64, 3, None); print(peak() - before)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "a.png"],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            check=True,
        )
        assert int(done.stdout) < 10**6  # kB

    @pytest.mark.parametrize("million", [1, 2, 50])
    @pytest.mark.parametrize(
        ("kind", "head"),
        [
            (b"iCCP", b"profile\0\0"),
            (b"zTXt", b"comment\0\0"),
            (b"iTXt", b"comment\0\1\0en\0Kommentar\0"),
        ],
    )
    @pytest.mark.parametrize("at_once", [2**22, 0])
    def test_pixels_do_not_depend_on_the_length_of_texts_and_profiles(
        self, million, kind, head, at_once, monkeypatch
    ):
        monkeypatch.setattr(module, "_MAX_BYTES_AT_ONCE", at_once)
        noise = np.random.default_rng(0).integers(0, 256, 200_000, np.uint8).tobytes()
        text = zlib.compress(noise + bytes(million * 1_000_000 - 150_000))
        pixels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
        extra = chunk(kind, head + text) + chunk(b"tRNS", struct.pack(">H", 3))
        extra = chunk(kind, head + zlib.compress(b"short")) + extra
        rows = b"".join(b"\0" + row.tobytes() for row in pixels)
        pixels[0, 1] = 255  # the transparent value, on white
        tracemalloc.start()
        decoded = decode(png(8, 8, rows, extra=extra), 8, 1, None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        np.testing.assert_array_equal(decoded[..., 0], pixels)
        assert peak < 8_000_000

    def test_many_texts_of_a_megabyte_do_not_lose_the_image(self):
        text = chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(1_000_000)))
        data = png(4, 4, b"\0\7\7\7\7" * 4, extra=100 * text)
        assert (decode(data, 4, 1, None) == 7).all()

    def test_an_orientation_in_a_text_of_pngs_is_applied_beside_a_long_one(self):
        image, upright = picture(40, 40), np.asarray(picture(40, 40))[:, ::-1]
        xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="2"/></x:xmpmeta>'
        data = encode(image)
        after = data.index(b"IDAT") - 4
        long = chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(2_000_000)))
        oriented = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
        data = data[:after] + long + oriented + data[after:]
        np.testing.assert_array_equal(decode(data, 40, 3, None), upright)

    def test_a_png_of_millions_of_chunks_is_refused(self, monkeypatch):
        monkeypatch.setattr("dcgan.data.decoding.png._MAX_CHUNKS", 1000)
        data = png(4, 4, b"\0\7\7\7\7" * 4, extra=chunk(b"juNk", b"") * 997)
        assert (decode(data, 4, 1, None) == 7).all()
        data = png(4, 4, b"\0\7\7\7\7" * 4, extra=chunk(b"juNk", b"") * 998)
        with pytest.raises(BadImage, match="more than 1,000 chunks"):
            decode(data, 4, 1, None)

    def test_a_wrong_checksum_makes_a_bad_image(self):
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


def png(width, height, data, depth=8, colour=0, extra=b"", packed=None) -> bytes:
    """A PNG whose header may declare more pixels than it has."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + extra + chunk(b"IDAT", packed or zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b"")
