"""Pictures of more than 8 bits: which values become black and white, and what packing says."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dcgan import cli
from dcgan.config import DataOptions, PrepareConfig
from dcgan.data import open_or_pack, pack
from dcgan.data.decoding.conversion import Conversion
from dcgan.data.decoding.image import decode
from dcgan.data.decoding.levels import to_bytes
from dcgan.data.decoding.opening import BadImage
from dcgan.data.sources import open_source
from dcgan.errors import UsageError
from tests.data.test_decoding import encode, png

RAMP = np.arange(64 * 64).reshape(64, 64)  # 12 bits


def grey(values: np.ndarray, format: str) -> bytes:
    """A grey picture of 16 bits."""
    values = values.astype(np.uint16)
    if format == "PGM":
        height, width = values.shape
        return b"P5 %d %d 65535\n" % (width, height) + values.astype(">u2").tobytes()
    if format == "TIFF, big-endian":
        return tiff(values, ">u2")
    return encode(Image.fromarray(values), format)


def tiff(values: np.ndarray, kind: str) -> bytes:
    """An uncompressed TIFF of one strip of these numbers."""
    values = values.astype(kind)
    height, width = values.shape
    order = ">" if kind.startswith(">") else "<"
    sample_format = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags = (
        (256, width), (257, height), (258, 8 * values.itemsize), (259, 1), (262, 1), (273, 134),
        (277, 1), (278, height), (279, values.nbytes), (339, sample_format),
    )  # fmt: skip
    head = struct.pack(order + "2sHI", b"MM" if order == ">" else b"II", 42, 8)
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags)
    head += struct.pack(order + "H", len(tags)) + entries + bytes(4)
    return head.ljust(134, b"\0") + values.tobytes()


def pixels(data: bytes, levels) -> np.ndarray:
    """The pixels of a square grey picture of 64x64."""
    return decode(data, 64, 1, None, Conversion(levels=levels))[..., 0]


def test_the_full_range_keeps_high_bytes():
    values = np.arange(2**16, dtype=np.uint16)
    np.testing.assert_array_equal(to_bytes(values, 0, 65535), values >> 8)
    np.testing.assert_array_equal(to_bytes(values.astype(float), 0, 65535), values >> 8)


@given(
    st.floats(-1e6, 1e6), st.floats(1e-3, 1e6),
    st.lists(st.floats(allow_nan=True, width=32), min_size=1, max_size=20),
)  # fmt: skip
def test_values_outside_of_the_range_are_black_or_white(low, width, values):
    values, high = np.array(values), low + width
    out = to_bytes(values, low, high)
    assert (out[~(values > low)] == 0).all()  # NaN too
    assert (out[values >= high] == 255).all()
    inside = (values > low) & (values < high)
    expected = (values[inside] - low) / (high - low) * 256
    assert (abs(out[inside] - np.floor(expected)) <= 1).all()
    assert out[np.argsort(values)].tolist() == sorted(out) or np.isnan(values).any()


@pytest.mark.parametrize("format", ["PNG", "TIFF", "TIFF, big-endian", "PGM"])
def test_a_range_maps_12_bits_to_8(format):
    data = grey(RAMP, format)
    np.testing.assert_array_equal(pixels(data, "full"), RAMP >> 8)
    np.testing.assert_array_equal(pixels(data, (0, 4095)), RAMP >> 4)
    np.testing.assert_array_equal(pixels(data, (0.0, 1023.0)), (RAMP >> 2).clip(0, 255))
    np.testing.assert_array_equal(pixels(data, "file"), RAMP >> 4)


def test_each_file_may_have_its_own_range():
    """Black and white are the extremes of the whole picture, not of the crop."""
    values = np.full((64, 128), 1000)
    values[0, 0], values[-1, -1] = 200, 3000
    data = grey(values, "PNG")
    out = pixels(data, "file")
    assert (out == (1000 - 200) * 256 // (3000 - 200)).all()
    assert (pixels(grey(np.full((64, 64), 700), "PNG"), "file") == 0).all()


@pytest.mark.parametrize("kind", ["<i2", ">i2", "<i4", "<u4", "<f4"])
def test_signed_and_32_bit_pixels_need_a_range(kind):
    values = RAMP * 8.0 - (0 if kind == "<u4" else 1000)  # Hounsfield units, say
    data = tiff(values, kind)
    with pytest.raises(BadImage, match="no defined range: give them one with --levels"):
        pixels(data, "full")
    expected = np.floor((values + 1000) * 256 / 1400).clip(0, 255)
    np.testing.assert_array_equal(pixels(data, (-1000, 400)), expected)
    low, high = values.min(), values.max()
    expected = np.floor((values - low) * 256 / (high - low)).clip(0, 255)
    np.testing.assert_array_equal(pixels(data, "file"), expected)


def test_numbers_that_are_not_finite_do_not_stretch_the_range():
    values = RAMP.astype(float)
    values[:2] = [[np.nan], [np.inf]]
    out = pixels(tiff(values, "<f4"), "file")
    assert (out[0] == 0).all() and (out[1] == 255).all()
    np.testing.assert_array_equal(out[2:], ((RAMP[2:] - 128) * 256 // (4095 - 128)).clip(0, 255))
    assert (pixels(tiff(np.full((64, 64), np.nan), "<f4"), "file") == 0).all()


def test_the_range_is_in_the_numbers_of_the_file():
    """Pillow stretches a PGM to 16 bits by the maximum that it declares."""
    data = b"P5 64 64 4095\n" + RAMP.astype(">u2").tobytes()
    for levels in ("full", (0, 4095), "file"):
        assert abs(pixels(data, levels).astype(int) - (RAMP >> 4)).max() <= 1
    assert abs(pixels(data, (0, 1023)).astype(int) - (RAMP >> 2).clip(0, 255)).max() <= 1


def test_eight_bits_stay_as_they_are():
    data = encode(Image.fromarray((RAMP >> 4).astype(np.uint8)))
    for levels in ("full", "file", (10, 20)):
        np.testing.assert_array_equal(pixels(data, levels), RAMP >> 4)


class TestPacking:
    """Packing says how dark pictures of 16 bits are, and how to mend it."""

    def notes(self, tmp_path, files: list[bytes], levels="full", workers=1) -> list[str]:
        root = tmp_path / f"raw-{len(list(tmp_path.iterdir()))}"
        root.mkdir()
        for i, data in enumerate(files):
            (root / f"{i}.{'png' if data[1:4] == b'PNG' else 'tif'}").write_bytes(data)
        source = open_source(DataOptions(source="folder", root=root))
        source.chunk = 2
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        packed = pack(source, out, 16, 1, max_bad=0.9, workers=workers, levels=levels)
        assert packed.meta["levels"] == (levels if isinstance(levels, str) else list(levels))
        return packed.meta["notes"]

    @pytest.mark.parametrize(("brightest", "top"), [(4095, 4095), (1000, 1023), (16383, 16383)])
    def test_dark_grey(self, tmp_path, brightest, top, capsys):
        files = [grey(RAMP * brightest // 4095, "PNG"), grey(RAMP // 8, "TIFF")]
        files += [grey(RAMP * 16, "PNG"), encode(Image.new("L", (64, 64)))]
        remark = (
            f"2 of 3 16-bit grey images have no value above {brightest:,} of 65,535 and are packed "
            f"nearly black: --levels 0 {top} makes that white, --levels file the brightest of each"
        )
        assert self.notes(tmp_path, files) == [remark]
        assert remark in capsys.readouterr().err
        if brightest == 4095:
            assert self.notes(tmp_path, files, workers=2) == [remark]
        assert self.notes(tmp_path, files, (0, top)) == self.notes(tmp_path, files, "file") == []

    def test_dark_colour(self, tmp_path):
        def colour(value: int) -> bytes:
            row = b"\0" + struct.pack(">3H", value, value // 2, 0) * 64
            return png(64, 64, depth=16, colour=2, data=row * 64)

        files = [colour(4000)] * 3 + [colour(60_000)]
        assert self.notes(tmp_path, files) == [
            "3 of 4 16-bit colour images have no value above 4,095 of 65,535 and are packed nearly "
            "black: scale them to the whole range before"
        ]
        with pytest.raises(BadImage, match="only high bytes of 16-bit colour are read"):
            decode(files[0], 16, 3, None, Conversion(levels=(0, 4095)))

    def test_bright_images_and_a_range_without_use(self, tmp_path):
        one_of_eleven = [grey(RAMP * 4, "PNG"), *[grey(RAMP * 16, "TIFF")] * 10]
        assert self.notes(tmp_path, one_of_eleven) == []
        (remark,) = self.notes(tmp_path, one_of_eleven[:10])
        assert remark.startswith("1 of 10 16-bit grey images have no value above 16,380")
        eight = [encode(Image.new("L", (64, 64), 9))] * 2
        assert self.notes(tmp_path, eight) == []
        assert self.notes(tmp_path, eight, "file") == [
            "--levels has no effect: no image is grey with more than 8 bits"
        ]

    @pytest.mark.parametrize(("declared", "remarks"), [(65535, 1), (4095, 0)])
    def test_a_dark_pgm_of_text_is_told_from_one_of_fewer_bits(self, tmp_path, declared, remarks):
        text = f"P2 64 64 {declared}\n{' '.join(map(str, RAMP.ravel()))}\n".encode()
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "0.pgm").write_bytes(text)
        source = open_source(DataOptions(source="folder", root=tmp_path / "raw"))
        notes = pack(source, tmp_path / "out", 16, 1).meta["notes"]
        assert ["4,095 of 65,535 and are packed nearly black" in note for note in notes] == (
            [True] * remarks
        )

    def test_every_range_has_its_own_images(self, tmp_path):
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "0.png").write_bytes(grey(RAMP, "PNG"))
        options = DataOptions(source="folder", root=tmp_path / "raw", workers=1)
        found = {
            levels: open_or_pack(replace(options, levels=levels), 64, 1, tmp_path / "cache")
            for levels in ("full", "file", (0, 1023), (0, 4095), (0.0, 4095.0))
        }
        assert len({packed.folder for packed in found.values()}) == 4
        assert [packed.images.max() for packed in found.values()] == [15, 255, 255, 255]

    def test_ranges_on_the_command_line(self, tmp_path, capsys):
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "0.tif").write_bytes(tiff(RAMP - 1000.0, "<f4"))
        command = ["prepare", "folder", "--root", str(tmp_path / "raw"), "--size", "64"]
        command += ["--workers", "1", "--out"]
        assert cli.main([*command, str(tmp_path / "full")]) == 1
        assert "give them one with --levels" in capsys.readouterr().err
        assert cli.main([*command, str(tmp_path / "out"), "--levels", "-1000", "400"]) == 0
        images = np.load(tmp_path / "out" / "images.npy")
        assert (images.min(), images.max()) == (0, 255)

    @pytest.mark.parametrize(
        "levels",
        [(1, 1), (2, 1), (0,), (0, 1, 2), (), (0, np.inf), (np.nan, 1), "auto"],
    )
    def test_ranges_that_are_none_are_refused(self, tmp_path, levels):
        with pytest.raises(UsageError, match="--levels must be"):
            PrepareConfig(source="folder", root=Path(), out=tmp_path / "out", levels=levels)
