"""Images are paired with their masks, and whatever has no sound partner is named."""

import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan import cli
from dcgan.config import DataOptions, PrepareConfig
from dcgan.data import IGNORED, faces, open_or_pack, open_packed, prepare
from dcgan.data.sources import open_source
from dcgan.data.sources.faces import packed_indices
from dcgan.data.sources.voc import CLASSES
from dcgan.errors import UsageError, UserError
from tests.conftest import TINY, fit
from tests.data.test_decoding import encode

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX file systems only")
COLOURS = np.array([(20, 20, 20), (220, 60, 60), (60, 200, 90)], np.uint8)  # of the classes
SIZE = 16


def numbers(seed: int, height: int = 48, width: int = 48) -> np.ndarray:
    """A mask of three classes in large blocks."""
    blocks = np.random.default_rng(seed).integers(0, 3, (4, 4), dtype=np.uint8)
    return np.repeat(np.repeat(blocks, -(-height // 4), 0), -(-width // 4), 1)[:height, :width]


def write_pair(images: Path, masks: Path, name: str, mask: np.ndarray, format="png", mode="L"):
    for folder in (images / name, masks / name):
        folder.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(COLOURS[mask % 3]).save(images / f"{name}.{format}", quality=95)
    picture = Image.fromarray(mask)
    if mode == "P":
        picture.putpalette(range(48))
    picture.save(masks / f"{name}.png")


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Ten sound pairs, in folders, of several formats and sizes."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    for i in range(10):
        mode, format = ("L", "P")[i % 2], ("png", "jpg", "webp")[i % 3]
        write_pair(images, masks, f"{'ab'[i % 2]}/{i}", numbers(i, 48 + i, 60 - i), format, mode)
    return images, masks


def packed(images: Path, masks: Path, **options):
    values = dict(source="folder", root=images, masks=masks, size=SIZE, workers=1, max_bad=1.0)
    return prepare(PrepareConfig(**values | {"out": images.parent / "out"} | options))


def skipped(folder) -> dict[str, str]:
    return {image["name"]: image["reason"] for image in folder.meta["skipped"]}


def assert_masks_fit(folder) -> None:
    """The colour of a pixel is nearest to that of its class, but on borders."""
    distances = np.abs(folder.images[..., None, :].astype(int) - COLOURS).sum(-1)
    shown, clear = distances.argmin(-1), distances.min(-1) < 60
    assert clear.mean() > 0.6
    np.testing.assert_array_equal(shown[clear], folder.masks[clear])


class TestFolder:
    def test_pairs_are_packed_in_the_order_of_the_images(self, folders):
        folder = packed(*folders)
        assert len(folder) == 10 and folder.masks.shape == (10, SIZE, SIZE)
        assert folder.mask_names == ("0", "1", "2")
        assert_masks_fit(folder)
        assert folder.meta["masks"] == str(folders[1])
        folder.check_unchanged()

    @pytest.mark.parametrize("fit", ["pad", "squeeze"])
    def test_bars_are_ignored(self, folders, fit):
        folder = packed(*folders, fit=fit)
        bars = folder.masks == IGNORED
        assert bars.any() == (fit == "pad")
        assert (folder.images[bars] == 0).all()
        distances = np.abs(folder.images[..., None, :].astype(int) - COLOURS).sum(-1)
        clear = (distances.min(-1) < 60) & ~bars
        np.testing.assert_array_equal(distances.argmin(-1)[clear], folder.masks[clear])

    def test_the_result_does_not_depend_on_the_number_of_workers(self, folders, tmp_path):
        for i in range(40):
            write_pair(*folders, f"c/{i}", numbers(i))
        (folders[1] / "c" / "7.png").write_bytes(b"damaged")
        one = packed(*folders, out=tmp_path / "one")
        two = packed(*folders, out=tmp_path / "two", workers=2)
        assert len(one) == 49 and one.fingerprint == two.fingerprint
        assert one.meta["skipped"] == two.meta["skipped"]

    def test_names_are_declared_in_order(self, folders):
        folder = packed(*folders, mask_names=("background", "cat", "dog", "cow"))
        assert folder.mask_names == ("background", "cat", "dog", "cow")
        assert folder.meta["notes"][-1] == "no pixel of a mask is of class cow"
        assert open_packed(folder.folder).mask_names == folder.mask_names

    def test_whatever_is_wrong_with_a_pair_is_named(self, folders):
        images, masks = folders
        for name in "defghijklm":
            write_pair(images, masks, name, numbers(0))
        (images / "d.png").write_bytes(encode(Image.new("RGB", (48, 48)))[:60])
        whole = (masks / "e.png").read_bytes()
        (masks / "e.png").write_bytes(whole[: len(whole) - 30])
        Image.fromarray(numbers(0)).convert("RGB").save(masks / "f.png")
        Image.fromarray(numbers(0, 47)).save(masks / "g.png")
        Image.fromarray(numbers(0) + np.uint8(200)).save(masks / "h.png")
        (masks / "i.png").unlink()
        (images / "j.png").unlink()
        Image.fromarray(numbers(0).astype(np.uint16)).save(masks / "k.png")
        (masks / "l.png").unlink()
        Image.fromarray(numbers(0)).save(masks / "l.jpg")
        Image.fromarray(numbers(0)).save(masks / "m.gif")
        write_pair(images, masks, "m", numbers(0), "jpg")
        folder = packed(images, masks, mask_names=("a", "b", "c"))
        assert len(folder) == 11 and folder.meta["found"] == 22
        assert_masks_fit(folder)
        reasons = skipped(folder)
        assert reasons.pop("e.png").startswith("its mask e.png: ")
        assert reasons == {
            "d.png": reasons["d.png"],
            "f.png": "its mask f.png: a colour picture (RGB): save the class number of each pixel "
            "as a palette or grey PNG",
            "g.png": "its mask g.png: 48 x 47 pixels, and the upright image 48 x 48",
            "h.png": "its mask h.png: it has the value 202, and the classes are 0 to 2",
            "i.png": "no mask i.png",
            "j.png": "a mask without an image",
            "k.png": "its mask k.png: 16 bits a pixel: save class numbers as a PNG of 8 bits, 255 "
            "for ignored",
            "l.png": "its mask l.jpg: JPEG, not a PNG: save class numbers as a palette or grey PNG",
            "m.png": "its mask would be that of m.jpg: give every image its own name",
            "m.gif": "a second mask of m.jpg",
        }

    def test_too_many_bad_masks_stop_packing(self, folders):
        for path in folders[1].rglob("*.png"):
            Image.open(path).convert("RGB").save(path)
        with pytest.raises(UserError, match="a colour picture"):
            packed(*folders, max_bad=0.01)
        with pytest.raises(UserError, match=r"none of the 10 images can be read: .*colour picture"):
            packed(*folders)

    def test_black_and_white_masks_have_no_second_class(self, folders):
        for path in folders[1].rglob("*.png"):
            mask = np.asarray(Image.open(path))
            Image.fromarray(np.where(mask > 0, 255, 0).astype(np.uint8)).save(path)
        with pytest.raises(UserError, match=r"no class but 0, and 255 is ignored: number the"):
            packed(*folders)
        assert not (folders[0].parent / "out").exists()

    def test_masks_of_one_bit_have_two_classes(self, folders):
        for path in folders[1].rglob("*.png"):
            Image.fromarray(np.asarray(Image.open(path)) > 0).save(path)
        folder = packed(*folders)
        assert folder.mask_names == ("0", "1")

    def test_a_folder_of_masks_inside_that_of_the_images_and_around_it(self, folders, tmp_path):
        images, masks = folders
        expected = packed(images, masks, out=tmp_path / "expected")
        inside = tmp_path / "inside"
        shutil.copytree(images, inside)
        shutil.copytree(masks, inside / "masks")
        folder = packed(inside, inside / "masks", class_folders=True)
        np.testing.assert_array_equal(folder.masks, expected.masks)
        assert folder.meta["skipped"] == [] and folder.label_names == ("a", "b")
        around = tmp_path / "around"
        shutil.copytree(masks, around)
        shutil.copytree(images, around / "images")
        folder = packed(around / "images", around, out=tmp_path / "second")
        np.testing.assert_array_equal(folder.masks, expected.masks)
        assert folder.meta["skipped"] == []

    def test_labels_stay_with_their_images(self, folders):
        images, masks = folders
        (masks / "a" / "4.png").unlink()
        write_pair(images, masks, "c/x", numbers(0))
        (images / "c" / "x.png").unlink()
        folder = packed(images, masks, class_folders=True)
        assert folder.label_names == ("a", "b")
        np.testing.assert_array_equal(folder.labels, [0] * 4 + [1] * 5)

    def test_zips_are_read_in_place(self, folders, tmp_path):
        expected = packed(*folders, out=tmp_path / "expected")
        archives = []
        for folder in folders:
            archives.append(tmp_path / f"{folder.name}.zip")
            with zipfile.ZipFile(archives[-1], "w") as archive:
                for path in folder.rglob("*.*"):
                    archive.write(path, path.relative_to(folder))
        folder = packed(*archives)
        assert folder.fingerprint == expected.fingerprint

    @posix
    def test_links_pipes_and_closed_files_do_no_harm(self, folders):
        images, masks = folders
        for name in "xyz":
            write_pair(images, masks, name, numbers(0))
        (masks / "x.png").rename(masks.parent / "elsewhere.png")
        (masks / "x.png").symlink_to(masks.parent / "elsewhere.png")
        (masks / "y.png").unlink()
        os.mkfifo(masks / "y.png")
        (masks / "z.png").unlink()
        (masks / "z.png").symlink_to(masks / "nowhere")
        (masks / "loop").symlink_to(masks)
        folder = packed(images, masks)
        assert len(folder) == 11
        assert skipped(folder) == {
            "y.png": "its mask y.png: not a regular file",
            "z.png": "its mask z.png: broken link",
        }

    def test_options_that_contradict_each_other_are_refused(self, folders, tmp_path):
        images, masks = folders
        options = dict(source="folder", root=images, out=tmp_path / "out")
        with pytest.raises(UsageError, match="--masks is for the folder source, not for voc"):
            PrepareConfig(**options | {"source": "voc"}, masks=masks)
        with pytest.raises(UsageError, match="--mask-names are for --masks"):
            PrepareConfig(**options, mask_names=("a", "b"))
        for names in (("a",), ("a", "a"), ("a", ""), tuple(map(str, range(256)))):
            with pytest.raises(UsageError, match="--mask-names must be from 2 to 255"):
                PrepareConfig(**options, masks=masks, mask_names=names)
        with pytest.raises(UsageError, match="is the folder of the images"):
            packed(images, images)
        with pytest.raises(UserError, match="does not exist"):
            packed(images, masks / "none")
        np.save(tmp_path / "x.npy", np.zeros((3, 8, 8, 3), np.uint8))
        with pytest.raises(UsageError, match=r"not for .*npy"):
            packed(tmp_path / "x.npy", masks)

    def test_the_command(self, folders, tmp_path, capsys):
        flags = ["--root", str(folders[0]), "--masks", str(folders[1]), "--size", "16"]
        names = ["--mask-names", "background", "cat", "dog"]
        out = tmp_path / "out"
        assert cli.main(["prepare", "folder", *flags, *names, "--out", str(out)]) == 0
        assert open_packed(out).mask_names == ("background", "cat", "dog")
        assert cli.main(["prepare", "faces", "--masks", "x", "--out", str(tmp_path / "f")]) == 2
        assert "--masks is for the folder source" in capsys.readouterr().err


class TestFaceParts:
    OPTIONS = DataOptions(source="face-parts", count=30)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_images_and_labels_are_those_of_faces(self, tmp_path, channels):
        parts = open_or_pack(self.OPTIONS, 32, channels, tmp_path)
        plain = open_or_pack(DataOptions(count=30), 32, channels, tmp_path)
        np.testing.assert_array_equal(parts.images, plain.images)
        np.testing.assert_array_equal(parts.labels, plain.labels)
        assert parts.label_names == plain.label_names and plain.masks is None
        assert parts.mask_names == faces.PARTS
        np.testing.assert_array_equal(parts.masks, faces.render(range(30), 32).parts)
        assert packed_indices(parts.meta) == range(30)
        assert open_or_pack(self.OPTIONS, 32, channels, tmp_path).folder == parts.folder

    def test_splits_and_refusals_are_those_of_faces(self):
        valid = open_source(DataOptions(source="face-parts", count=3, split="valid"))
        assert valid.name(0) == f"face {2**30}"
        with pytest.raises(UsageError, match="no --root"):
            open_source(DataOptions(source="face-parts", root=Path("x")))

    def test_a_gan_is_trained_as_without_masks(self, tmp_path):
        parts = open_or_pack(self.OPTIONS, 16, 3, tmp_path)
        last = fit(TINY, parts, tmp_path / "run", torch.device("cpu"))
        assert last.name == "step-00000006.safetensors" and last.exists()


def write_voc(root: Path, year: str = "VOC2012") -> Path:
    """Six images in the layout as distributed: 0 to 3 for train, 4 and 5 for val."""
    folder = root / year
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    (folder / "Annotations").mkdir()
    (folder / "SegmentationObject").mkdir()
    for i in range(6):
        name = f"2007_00000{i}"
        mask = numbers(i, 40 + i, 50)
        write_pair(folder / "JPEGImages", folder / "SegmentationClass", name, mask, "jpg", "P")
        shutil.copy(folder / "SegmentationClass" / f"{name}.png", folder / "SegmentationObject")
        (folder / "Annotations" / f"{name}.xml").write_text("<annotation/>")
    Image.new("RGB", (40, 40)).save(folder / "JPEGImages" / "2008_000001.jpg")  # has no mask
    lists = {"train": range(4), "val": range(4, 6), "trainval": range(6)}
    for name, members in lists.items():
        text = "".join(f"2007_00000{i}\n" for i in members)
        (folder / "ImageSets" / "Segmentation" / f"{name}.txt").write_text(text)
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("2008_000001\n")
    return folder


class TestVoc:
    def prepared(self, root: Path, out: Path, **options):
        values = dict(source="voc", root=root, out=out, size=SIZE, workers=1)
        return prepare(PrepareConfig(**values | options))

    @pytest.mark.parametrize("top", [".", "VOCdevkit", "VOCdevkit/VOC2012"])
    def test_every_split_from_every_root(self, tmp_path, top):
        write_voc(tmp_path / "raw" / "VOCdevkit")
        for split, count in [("train", 4), ("valid", 2), ("all", 6)]:
            folder = self.prepared(tmp_path / "raw" / top, tmp_path / split, split=split)
            assert len(folder) == count and folder.meta["skipped"] == []
            assert_masks_fit(folder)
        assert folder.mask_names == CLASSES and len(CLASSES) == 21
        assert folder.meta["ignored"] == 0 and folder.labels is None
        with pytest.raises(UserError, match=r"no ImageSets/Segmentation/test.txt in"):
            self.prepared(tmp_path / "raw" / top, tmp_path / "test", split="test")

    def test_a_list_may_hold_paths(self, tmp_path):
        root = write_voc(tmp_path / "raw")
        lines = (r"JPEGImages\2007_000000.jpg", "/JPEGImages/2007_000002.JPG", "2007_000003", "..")
        (root / "ImageSets/Segmentation/train.txt").write_text("\r\n".join(lines))
        folder = self.prepared(root, tmp_path / "out", max_bad=1.0)
        assert len(folder) == 3
        assert skipped(folder) == {"..": "no JPEGImages/...jpg"}

    def test_the_splits_that_have_a_list_are_named(self, tmp_path):
        root = write_voc(tmp_path / "raw")
        (root / "ImageSets/Segmentation/val.txt").unlink()
        with pytest.raises(
            UserError, match=r"val.txt in .*: it has the lists of --split train and"
        ):
            self.prepared(root, tmp_path / "out", split="valid")

    def test_borders_are_ignored(self, tmp_path):
        root = write_voc(tmp_path / "raw")
        mask = np.full((40, 50), IGNORED, np.uint8)
        mask[10:30, 15:35] = 20
        picture = Image.fromarray(mask)
        picture.putpalette(bytes(3 * 256))
        for i in range(4):
            picture.save(root / "SegmentationClass" / f"2007_00000{i}.png")
            Image.new("RGB", (50, 40)).save(root / "JPEGImages" / f"2007_00000{i}.jpg")
        folder = self.prepared(root, tmp_path / "out")
        expected = np.full((16, 16), IGNORED)  # 2.5 pixels of the centre square each
        expected[4:12, 4:12] = 20
        np.testing.assert_array_equal(folder.masks, np.broadcast_to(expected, (4, 16, 16)))

    def test_lists_of_every_kind_are_read_and_missing_files_named(self, tmp_path):
        root = write_voc(tmp_path / "raw")
        (root / "JPEGImages" / "2007_000001.jpg").unlink()
        (root / "SegmentationClass" / "2007_000002.png").unlink()
        Image.fromarray(numbers(0) + np.uint8(100)).save(
            root / "SegmentationClass" / "2007_000003.png"
        )
        shutil.copy(root / "JPEGImages" / "2007_000000.jpg", tmp_path / "secret.jpg")
        lines = ["2007_000000", "", "2007_000001 ", "  ", "2007_000002", "2007_000000"]
        lines += ["2007_000003", "../../../secret", "2008_000001", "\x1b[2J"]
        text = "\ufeff" + "\r\n".join(lines)
        (root / "ImageSets" / "Segmentation" / "train.txt").write_bytes(text.encode())
        folder = self.prepared(root, tmp_path / "out", max_bad=1.0)
        assert len(folder) == 1
        assert skipped(folder) == {
            "2007_000001": "no JPEGImages/2007_000001.jpg",
            "2007_000002": "no SegmentationClass/2007_000002.png",
            "2007_000003": "its mask SegmentationClass/2007_000003.png: 48 x 48 pixels, and the "
            "upright image 50 x 43",
            "../../../secret": "no JPEGImages/../../../secret.jpg",
            "2008_000001": "no SegmentationClass/2008_000001.png",
            "\\x1b[2J": "no JPEGImages/\\x1b[2J.jpg",
        }

    def test_values_beyond_the_classes_are_named(self, tmp_path):
        root = write_voc(tmp_path / "raw")
        path = root / "SegmentationClass" / "2007_000001.png"
        Image.fromarray(np.asarray(Image.open(path)) + np.uint8(21)).save(path)
        folder = self.prepared(root, tmp_path / "out", max_bad=1.0)
        (reason,) = skipped(folder).values()
        assert reason.endswith("2007_000001.png: it has the value 23, and the classes are 0 to 20")

    def test_the_tar_as_distributed_is_read_in_place(self, tmp_path):
        write_voc(tmp_path / "VOCdevkit")
        with tarfile.open(tmp_path / "VOCtrainval.tar", "w") as archive:
            archive.add(tmp_path / "VOCdevkit", "VOCdevkit")
        from_tar = self.prepared(tmp_path / "VOCtrainval.tar", tmp_path / "one")
        from_folder = self.prepared(tmp_path / "VOCdevkit", tmp_path / "two")
        assert from_tar.fingerprint == from_folder.fingerprint

    def test_roots_that_cannot_be_read_are_one_clear_line(self, tmp_path):
        root = write_voc(tmp_path / "raw")
        write_voc(tmp_path / "raw", "VOC2007")
        with pytest.raises(UserError, match=r"holds several sets \(VOC2007, VOC2012\)"):
            self.prepared(tmp_path / "raw", tmp_path / "out")
        (root / "ImageSets" / "Segmentation" / "train.txt").write_text("\n\r\n")
        with pytest.raises(UserError, match=r"train\.txt names no image"):
            self.prepared(root, tmp_path / "out")
        with pytest.raises(UserError, match=r"no ImageSets/Segmentation/train\.txt in"):
            self.prepared(root / "JPEGImages", tmp_path / "out")
        with pytest.raises(UsageError, match="needs --root"):
            open_source(DataOptions(source="voc"))
