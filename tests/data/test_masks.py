"""Masks are decoded with the geometry of their images, and kept in packed folders."""

import io
import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from dcgan.data import IGNORED, open_packed
from dcgan.data.decoding.area_majority import resize_mask
from dcgan.data.decoding.conversion import Conversion
from dcgan.data.decoding.image import decode_sized
from dcgan.data.decoding.mask import decode_mask
from dcgan.data.decoding.opening import BadImage
from dcgan.errors import UserError
from tests import fuzzing
from tests.conftest import write_packed
from tests.data.test_decoding import STORED, chunk, encode, png
from tests.fuzzing import damage


def largest_areas(mask: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The class with the largest area in each cell, by counting equal squares that both share."""
    height, width = mask.shape
    fine = np.repeat(np.repeat(mask, rows, 0), columns, 1)  # [height * rows, width * columns]
    result = np.empty((rows, columns), np.uint8)
    for y, x in np.ndindex(rows, columns):
        cell = fine[y * height : (y + 1) * height, x * width : (x + 1) * width]
        counts = {int(value): int((cell == value).sum()) for value in np.unique(cell)}
        best = [value for value, count in counts.items() if count == max(counts.values())]
        result[y, x] = IGNORED if IGNORED in best else min(best)
    return result


sides = st.integers(1, 9)


@given(st.data(), sides, sides, sides, sides)
def test_a_pixel_has_the_class_with_the_largest_area(data, height, width, rows, columns):
    value = st.sampled_from([0, 1, 7, 254, IGNORED])
    flat = data.draw(st.lists(value, min_size=height * width, max_size=height * width))
    mask = np.array(flat, np.uint8).reshape(height, width)
    resized = resize_mask(mask, (0, 0, width, height), rows, columns)
    np.testing.assert_array_equal(resized, largest_areas(mask, rows, columns))


def test_blocks_do_not_change_the_result(monkeypatch):
    mask = np.random.default_rng(0).integers(0, 21, (57, 83), dtype=np.uint8)
    whole = resize_mask(mask, (10.5, 0, 67.5, 57), 16, 16)
    monkeypatch.setattr("dcgan.data.decoding.area_majority._BLOCK", 1)
    np.testing.assert_array_equal(resize_mask(mask, (10.5, 0, 67.5, 57), 16, 16), whole)


def test_memory_does_not_grow_with_the_number_of_classes():
    """All areas at once would take 128 * 128 * 255 * 8 bytes, 33 MB, and several times so."""
    mask = np.random.default_rng(0).integers(0, 255, (128, 128), dtype=np.uint8)
    tracemalloc.start()
    try:
        np.testing.assert_array_equal(resize_mask(mask, (0, 0, 128, 128), 128, 128), mask)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def pair(width: int, height: int, x: float, y: float, radius: float) -> tuple[np.ndarray, Image]:
    """A mask of a disc of class 1, and an image that is black for class 0 and white for class 1."""
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).ellipse((x - radius, y - radius, x + radius, y + radius), 1)
    return np.asarray(mask), Image.fromarray(np.asarray(mask) * np.uint8(255))


def decode_both(image: bytes, mask: bytes, size: int, crop: int | None, fit: str):
    """The packed image as the share of white [S, S], and the packed mask."""
    shown, image_size = decode_sized(image, size, 1, crop, Conversion(fit))
    packed = decode_mask(io.BytesIO(mask), image_size, size, crop, fit)
    return shown[..., 0] / 255, packed


GEOMETRIES = [
    (96, 96, 32, None, "crop"),
    (97, 61, 32, None, "crop"),
    (61, 98, 33, None, "crop"),
    (97, 61, 31, 50, "crop"),
    (96, 64, 17, 51, "crop"),
    (64, 64, 64, None, "crop"),
    (40, 40, 64, None, "crop"),
    (97, 61, 32, None, "pad"),
    (61, 98, 33, None, "pad"),
    (97, 61, 32, None, "squeeze"),
    (24, 31, 65, None, "squeeze"),
]


@pytest.mark.parametrize(("width", "height", "size", "crop", "fit"), GEOMETRIES)
def test_mask_and_image_agree_but_on_the_border(width, height, size, crop, fit):
    side = min(width, height, crop or math.inf)
    mask, image = pair(width, height, width / 2 - 3, height / 2 + 2, side / 3.1)
    share, packed = decode_both(encode(image), encode(Image.fromarray(mask)), size, crop, fit)
    inside = packed != IGNORED
    assert inside.any() and (share[~inside] == 0).all()
    clear = inside & (abs(share - 0.5) > 0.3)
    np.testing.assert_array_equal(packed[clear], share[clear] > 0.5)
    assert 0.02 < (packed == 1).mean() < 0.5 and (~clear & inside).mean() < 0.15


@pytest.mark.parametrize(("width", "height", "size", "crop", "fit"), GEOMETRIES)
def test_mask_and_image_have_the_same_centre(width, height, size, crop, fit):
    """Of many discs, so that the error is far below the fourth of a pixel of a wrong rounding."""
    side, rng, offsets = min(width, height, crop or math.inf), np.random.default_rng(0), []
    for _ in range(40):
        x, y = (n / 2 + rng.uniform(-0.15, 0.15) * side for n in (width, height))
        mask, image = pair(width, height, x, y, rng.uniform(0.2, 0.3) * side)
        share, packed = decode_both(encode(image), encode(Image.fromarray(mask)), size, crop, fit)
        grid = np.stack(np.mgrid[:size, :size])
        centres = [(grid * w).sum((1, 2)) / w.sum() for w in (share, packed == 1)]
        offsets.append(centres[0] - centres[1])
    assert np.abs(np.mean(offsets, 0)).max() < 0.06


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("tag", STORED)
def test_the_mask_belongs_to_the_upright_image(tag, fit, format):
    """Its own EXIF counts too: whichever way the two are stored, the result is the same."""
    mask, image = pair(194, 121, 80, 50, 37)
    exif = Image.Exif()
    exif[0x0112] = tag
    stored = Image.fromarray(np.ascontiguousarray(STORED[tag](np.asarray(image))))
    stored_mask = Image.fromarray(np.ascontiguousarray(STORED[tag](mask)))
    plain = encode(Image.fromarray(mask))
    _, expected = decode_both(encode(image), plain, 33, None, fit)
    options = {"quality": 95} if format == "JPEG" else {}
    turned = encode(stored, format, exif=exif, **options)
    for file in (plain, encode(stored_mask, exif=exif)):
        share, packed = decode_both(turned, file, 33, None, fit)
        np.testing.assert_array_equal(packed, expected)
        clear = (packed != IGNORED) & (abs(share - 0.5) > 0.3)
        np.testing.assert_array_equal(packed[clear], share[clear] > 0.5)
    if tag > 4:  # width and height change places
        with pytest.raises(BadImage, match="121 x 194 pixels, and the upright image 194 x 121"):
            decode_both(turned, encode(stored_mask), 33, None, fit)


def numbers(data: bytes, classes: int = 255, size: int = 4) -> np.ndarray:
    return decode_mask(io.BytesIO(data), (4, 4), size, None, "crop", classes)


class TestKinds:
    VALUES = np.arange(16, dtype=np.uint8).reshape(4, 4)

    @pytest.mark.parametrize("depth", [1, 2, 4, 8])
    @pytest.mark.parametrize("colour", [0, 3])
    def test_values_are_those_stored_at_any_depth(self, depth, colour):
        """Pillow scales grey of fewer than 8 bits to 0 to 255; 2 bits are the classes 0 to 3."""
        stored = self.VALUES & (2**depth - 1)
        bits = np.unpackbits(stored[..., None], axis=2)[..., 8 - depth :].reshape(4, -1)
        rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
        palette = chunk(b"PLTE", bytes(3 * 2**depth)) if colour == 3 else b""
        file = png(4, 4, rows, depth, colour, palette)
        np.testing.assert_array_equal(numbers(file), stored)

    def test_a_transparent_palette_is_no_colour(self):
        image = Image.fromarray(self.VALUES, "P")
        image.putpalette(range(48))
        np.testing.assert_array_equal(numbers(encode(image, transparency=3)), self.VALUES)

    @pytest.mark.parametrize(
        ("mode", "reason"),
        [
            ("RGB", r"a colour picture \(RGB\): save the class number of each pixel as a palette"),
            ("RGBA", r"a colour picture \(RGBA\)"),
            ("LA", "grey with an alpha channel: save class numbers without one"),
            ("I;16", "16 bits a pixel: save class numbers as a PNG of 8 bits"),
        ],
    )
    def test_other_pngs_are_refused_with_the_cure(self, mode, reason):
        image = Image.new(mode, (4, 4))
        with pytest.raises(BadImage, match=reason):
            numbers(encode(image))

    @pytest.mark.parametrize("format", ["JPEG", "BMP", "TIFF", "GIF", "WEBP"])
    def test_other_formats_are_refused(self, format):
        with pytest.raises(BadImage, match=f"{format}, not a PNG"):
            numbers(encode(Image.new("L", (4, 4)), format))

    def test_values_of_no_class_are_refused_wherever_they_lie(self):
        mask = np.zeros((4, 40), np.uint8)
        mask[0, 0], mask[1, 1] = 3, IGNORED  # outside of the centre crop
        file = encode(Image.fromarray(mask))
        with pytest.raises(BadImage, match="it has the value 3, and the classes are 0 to 2"):
            decode_mask(io.BytesIO(file), (40, 4), 4, None, "crop", 3)
        assert (decode_mask(io.BytesIO(file), (40, 4), 4, None, "crop", 4) == 0).all()


PALETTE = png(
    4, 4, bytes([0, 0, 17, 0, 34, 0, 51, 0, 68, 0, 0, 0]), 4, 3, chunk(b"PLTE", bytes(48))
)


def test_damaged_masks_are_bad_images():
    whole = encode(Image.fromarray(TestKinds.VALUES))
    bomb = png(60_000, 60_000, b"", 8, 0)
    for data in (b"", whole[:20], whole[:-30], b"GIF89a", bomb, b"<html></html>"):
        with pytest.raises(BadImage) as caught:
            numbers(data)
        assert caught.value.reason and "\n" not in caught.value.reason
    with pytest.raises(BadImage, match="134,217,728"):
        numbers(bomb)
    with pytest.raises(BadImage, match="empty file"):
        numbers(b"")


@fuzzing.fuzz_settings(150)
@given(st.sampled_from([encode(Image.fromarray(TestKinds.VALUES * 16)), PALETTE]), damage())
def test_a_damaged_file_is_a_mask_or_a_bad_image(whole, damaged):
    try:
        mask = numbers(damaged(whole), 200)
    except BadImage:
        return
    assert mask.shape == (4, 4) and ((mask < 200) | (mask == IGNORED)).all()


class TestPackedFolder:
    MASKS = np.random.default_rng(0).choice([0, 1, 2, IGNORED], (5, 8, 8)).astype(np.uint8)

    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        images = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
        folder = write_packed(tmp_path / "out", images)
        np.save(folder / "masks.npy", self.MASKS)
        self.change(folder, mask_names=["a", "b", "c"])
        return folder

    def change(self, folder: Path, **entries) -> None:
        meta = json.loads((folder / "meta.json").read_text())
        (folder / "meta.json").write_text(json.dumps(meta | entries))

    def test_masks_and_names_are_opened(self, folder):
        packed = open_packed(folder)
        np.testing.assert_array_equal(packed.masks, self.MASKS)
        assert packed.masks.dtype == np.uint8 and packed.mask_names == ("a", "b", "c")

    def test_a_folder_without_masks_has_none(self, folder):
        self.change(folder, mask_names=[])
        (folder / "masks.npy").unlink()
        packed = open_packed(folder)
        assert packed.masks is None and packed.mask_names == ()
        packed.check_unchanged()  # its hash is that of images.npy alone

    def test_the_hash_covers_the_masks(self, folder):
        packed = open_packed(folder)
        with pytest.raises(UserError, match="have changed"):
            packed.check_unchanged()

    def test_damage_is_one_line(self, folder):
        unnamed = self.MASKS.copy()
        unnamed[3, 2, 1] = 3
        for masks, reason in [
            (self.MASKS[:4], r"masks.npy is \(4, 8, 8\), not \(5, 8, 8\)"),
            (self.MASKS[..., None], "masks.npy is"),
            (self.MASKS.astype(np.int64), "masks.npy holds int64"),
            (np.asfortranarray(self.MASKS), "not in C order"),
            (unnamed, "classes without a name"),
        ]:
            np.save(folder / "masks.npy", masks)
            with pytest.raises(UserError, match=f"out is damaged: .*{reason}"):
                open_packed(folder)
        (folder / "masks.npy").write_bytes(b"<!DOCTYPE html><html></html>")
        with pytest.raises(UserError, match=r"masks\.npy is a web page"):
            open_packed(folder)
        (folder / "masks.npy").unlink()
        with pytest.raises(UserError, match=r"masks\.npy is missing"):
            open_packed(folder)

    @pytest.mark.parametrize("names", ["abc", {"a": 1}, [1, 2, 3], ["a", None], ["a"] * 256, 3])
    def test_names_of_another_type_are_refused(self, folder, names):
        self.change(folder, mask_names=names)
        with pytest.raises(UserError, match="is damaged"):
            open_packed(folder)

    def test_values_are_checked_in_blocks(self, folder, monkeypatch):
        monkeypatch.setattr("dcgan.data.packed_files._BLOCK_BYTES", 64)
        assert open_packed(folder).masks is not None
        masks = self.MASKS.copy()
        masks[4, 7, 7] = 254
        np.save(folder / "masks.npy", masks)
        with pytest.raises(UserError, match="classes without a name"):
            open_packed(folder)
