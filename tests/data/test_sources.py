"""Every layout of a data set is read in place; every hostile one ends in one clear line."""

import gzip
import io
import os
import pickle
import re
import shutil
import socket
import struct
import sys
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from urllib.error import URLError

import lmdb
import numpy as np
import pytest
from PIL import Image

from dcgan.cli import main
from dcgan.config import DataOptions
from dcgan.data import pack
from dcgan.data.sources import lmdb_reader
from dcgan.data.sources.base import MAX_BYTES
from dcgan.data.sources.opening import _NAMES, open_source
from dcgan.data.statistics import sizes_and_modes
from dcgan.errors import UsageError, UserError
from tests.conftest import write_packed


def may_read_everything() -> bool:
    with tempfile.NamedTemporaryFile() as file:
        os.chmod(file.name, 0)
        return os.access(file.name, os.R_OK)


as_user = pytest.mark.skipif(may_read_everything(), reason="this user may read everything")
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX file systems only")


def jpeg(value=0, format="JPEG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 20), (value, 0, 0)).save(file, format, quality=95)
    return file.getvalue()


def write(root: Path, *names: str, data: bytes | None = None) -> Path:
    """Pictures of these names, each redder than the one before."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(jpeg(20 * number) if data is None else data)
    return root


def zipped(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, jpeg(20 * number))
    return path


def opened(source: str, root: Path | None, **options):
    return open_source(DataOptions(source=source, root=root, **options))


def in_worker(source):
    """The source as a worker process gets it, pickled and unpickled."""
    source.build_index()
    return pickle.loads(pickle.dumps(source))


def names(source) -> list[str]:
    worker = in_worker(source)
    return [worker.name(i) for i in range(len(source))]


def bad(source) -> dict[str, str]:
    """The reasons of the bad images."""
    worker = in_worker(source)
    _, reasons = worker.read_images(range(len(source)), 8, 3, None)
    return {worker.name(i): reason for i, reason in reasons.items()}


def reds(source) -> list[int]:
    images, _ = in_worker(source).read_images(range(len(source)), 8, 3, None)
    return [round(int(image[4, 4, 0]) / 20) for image in images]


class TestFolder:
    def test_nested_images_are_listed_in_order_and_others_are_counted(self, tmp_path):
        write(tmp_path, "b/2.JPG", "a.png", "b/1.jpeg", "c/d/e.webp")
        write(tmp_path, "notes.txt", "b/list.csv", ".DS_Store", "b/._1.jpeg", ".cache/x.jpg")
        source = opened("folder", tmp_path)
        assert names(source) == ["a.png", "b/1.jpeg", "b/2.JPG", "c/d/e.webp"]
        assert source.ignored == 2
        assert source.left_out == {".txt": 1, ".csv": 1}
        assert source.notes == ["left out .csv: 1, .txt: 1"]
        assert source.labels is None
        assert reds(source) == [1, 2, 0, 3]

    @pytest.mark.parametrize("kind", ["folder", "zip"])
    def test_what_is_left_out_is_named_by_kind_and_number(self, tmp_path, kind):
        others = [f"{i}.HEIC" for i in range(20)] + ["a.zip", "b/c.zip", "README", "x.000001"]
        system = ["Thumbs.db", "b/desktop.ini", "__MACOSX/._0.jpg", "._0.jpg"]
        system += ["b/@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg", "$RECYCLE.BIN/1.jpg"]
        images = [f"b/{i}.jpg" for i in range(15)]
        if kind == "folder":
            root = write(tmp_path, *images, *others, *system)
        else:
            root = zipped(tmp_path / "x.zip", *images, *others, *system)
        source = opened("folder", root)
        assert len(source) == 15
        assert source.left_out == {".heic": 20, ".zip": 2, "without extension": 2}
        assert source.notes == [
            "left out .heic: 20 (not read here: convert them to PNG or JPEG), "
            ".zip: 2 (not opened: unpack them), without extension: 2"
        ]

    def test_without_images_the_kinds_that_are_there_are_named(self, tmp_path):
        write(tmp_path, "a.heic", "b.heic", "c.avif", *(f"d.k{i}" for i in range(20)))
        with pytest.raises(UserError, match=r"; left out .heic: 2 \(not read .*other kinds: 14$"):
            opened("folder", tmp_path)

    def test_every_extension_of_torchvisions_folders_is_read(self, tmp_path):
        folder = pytest.importorskip("torchvision.datasets.folder")
        names = [f"{i}{extension}" for i, extension in enumerate(folder.IMG_EXTENSIONS)]
        source = opened("folder", write(tmp_path, *names, "x.pbm", "x.pnm", "y.PPM"))
        assert len(source) == len(names) + 3

    def test_names_of_any_bytes_can_be_read_and_printed(self, tmp_path):
        write(tmp_path, "caf\u00e9 \u6f22.jpg", "two\nlines.jpg", "-rf.jpg")
        if sys.platform == "linux":
            write(tmp_path, os.fsdecode(b"not-utf8-\xff.jpg"))
        source = opened("folder", tmp_path)
        assert not bad(source)
        shown = "\n".join(names(source))
        assert "two\\nlines.jpg" in shown
        assert "caf\u00e9 \u6f22.jpg" in shown
        assert shown.encode("utf-8").isascii() is False  # encodable, so printable and writable
        if sys.platform == "linux":
            assert "not-utf8-\\udcff.jpg" in shown

    @posix
    def test_links_are_followed_once_and_loops_of_links_end(self, tmp_path):
        write(tmp_path / "elsewhere", "far.jpg")
        root = write(tmp_path / "root", "sub/near.jpg")
        (root / "linked").symlink_to(tmp_path / "elsewhere")
        (root / "again").symlink_to(root / "sub")
        (root / "loop").symlink_to(root)
        (root / "sub" / "up").symlink_to(root)
        (root / "self").symlink_to(root / "self")
        (root / "file.jpg").symlink_to(tmp_path / "elsewhere" / "far.jpg")
        (root / "broken.jpg").symlink_to(root / "nothing")
        source = opened("folder", root)
        assert names(source) == ["broken.jpg", "file.jpg", "linked/far.jpg", "sub/near.jpg"]
        assert bad(source) == {"broken.jpg": "broken link"}

    @posix
    def test_pipes_sockets_and_folders_are_never_opened(self, tmp_path, monkeypatch):
        write(tmp_path, "folder.jpg/inside.jpg", "good.jpg")
        os.mkfifo(tmp_path / "pipe.jpg")
        monkeypatch.chdir(tmp_path)  # the path of a socket may not be long
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket.jpg")
            source = opened("folder", tmp_path)
            assert names(source) == ["folder.jpg/inside.jpg", "good.jpg", "pipe.jpg", "socket.jpg"]
            assert bad(source) == dict.fromkeys(["pipe.jpg", "socket.jpg"], "not a regular file")

    @posix
    def test_a_pipe_that_replaces_an_image_does_not_block(self, tmp_path, monkeypatch):
        write(tmp_path, "a.jpg")
        source, status = opened("folder", tmp_path), os.stat(tmp_path / "a.jpg")
        (tmp_path / "a.jpg").unlink()
        os.mkfifo(tmp_path / "a.jpg")
        monkeypatch.setattr("dcgan.data.sources.folder.os.stat", lambda *_: status)
        assert bad(source) == {"a.jpg": "not a regular file"}

    def test_images_deleted_after_listing_are_skipped(self, tmp_path):
        source = opened("folder", write(tmp_path, "a.jpg", "b.jpg"))
        (tmp_path / "a.jpg").unlink()
        assert bad(source) == {"a.jpg": "no longer there"}

    @as_user
    def test_files_without_read_permission_are_named(self, tmp_path):
        write(tmp_path, "a.jpg", "closed/b.jpg", "c.jpg")
        (tmp_path / "a.jpg").chmod(0)
        (tmp_path / "closed").chmod(0)
        try:
            reasons = bad(opened("folder", tmp_path))
        finally:
            (tmp_path / "closed").chmod(0o700)
        assert reasons == dict.fromkeys(["a.jpg", "closed/"], "Permission denied")

    def test_errors_say_what_was_looked_for(self, tmp_path):
        for root, message in [
            (tmp_path / "none", "does not exist"),
            (tmp_path, r"no images in .* \(looked for .jpg .jpeg"),
            (
                write(tmp_path / "text", "a.txt", data=b"text") / "a.txt",
                "is no archive: a root is a folder",
            ),
        ]:
            with pytest.raises(UserError, match=message) as caught:
                opened("folder", root)
            assert str(root) in str(caught.value)
        for options, message in [
            ({"split": "test"}, "no test split"),
            ({"classes": ("a",)}, "--class-folders"),
        ]:
            with pytest.raises(UsageError, match=message):
                opened("folder", tmp_path, **options)
        with pytest.raises(UsageError, match="--root"):
            opened("folder", None)

    def test_the_fingerprint_follows_names_sizes_and_times(self, tmp_path):
        write(tmp_path, "a.jpg", "b.jpg")
        seen = {opened("folder", tmp_path).fingerprint()}
        assert {opened("folder", tmp_path).fingerprint()} == seen
        os.utime(tmp_path / "a.jpg", ns=(1, 1))
        seen.add(opened("folder", tmp_path).fingerprint())
        (tmp_path / "a.jpg").rename(tmp_path / "c.jpg")
        seen.add(opened("folder", tmp_path).fingerprint())
        write(tmp_path, "d.jpg")
        seen.add(opened("folder", tmp_path).fingerprint())
        assert len(seen) == 4


class TestOutputs:
    """What dcgan has written inside --root is not read as raw images."""

    TRAIN = (
        *("train", "folder", "--root", ".", "--size", "32", "--width", "8", "--batch-size", "4"),
        *("--steps", "1", "--device", "cpu", "--augment", "--workers", "1"),
    )

    @pytest.fixture
    def pictures(self, tmp_path, monkeypatch):
        rng = np.random.default_rng(0)
        (tmp_path / "pics" / "data").mkdir(parents=True)  # where packed images go by default
        for i in range(8):
            name = f"data/{i}.png" if i % 2 else f"{i}.png"
            pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pics" / name)
        monkeypatch.chdir(tmp_path / "pics")
        return tmp_path / "pics"

    def test_a_run_beside_the_pictures_continues_and_starts_afresh(self, pictures, capsys):
        before = names(opened("folder", pictures))
        key = opened("folder", pictures).fingerprint()
        for more in ((), ("--steps", "2"), ("--steps", "2", "--fresh"), ("--out", "second")):
            assert main([*self.TRAIN, *more]) == 0
        assert list(pictures.glob("runs/folder/samples/*.png"))
        assert (pictures / "runs" / "folder-2" / "config.json").exists()
        source = opened("folder", pictures)
        assert names(source) == before
        assert source.fingerprint() == key
        (packed,) = pictures.glob("data/folder-32-*")
        assert set(source.notes) == {
            f"left out {name}/: it holds {kind}, made by dcgan"
            for name, kind in [
                (f"data/{packed.name}", "packed images"),
                ("runs/folder", "a run"),
                ("runs/folder-2", "a run"),
                ("second", "a run"),
            ]
        }
        capsys.readouterr()
        assert main(["prepare", "folder", "--root", ".", "--out", "packed", "--size", "16"]) == 0
        assert "packed 8 of 8 images" in (shown := capsys.readouterr().err)
        assert "left out runs/folder/: it holds a run, made by dcgan" in shown
        assert names(opened("folder", pictures)) == before

    def test_outputs_are_recognised_behind_links_and_refused_as_root(self, pictures, tmp_path):
        assert main([*self.TRAIN, "--out", str(tmp_path / "run")]) == 0
        (pictures / "link").symlink_to(tmp_path / "run")
        assert len(opened("folder", pictures)) == 8
        for root in (tmp_path / "run", tmp_path / "run" / "samples", pictures / "link"):
            with pytest.raises(UserError, match="holds a run, made by dcgan, not raw images"):
                opened("folder", root)
        (packed,) = pictures.glob("data/folder-32-*")
        with pytest.raises(UserError, match="holds packed images, made by dcgan: give it as"):
            opened("folder", packed)

    def test_pictures_that_commands_write_by_default_are_left_out(self, run, pictures):
        before = opened("folder", pictures)
        real, other = np.random.default_rng(1).integers(0, 256, (2, 30, 16, 16, 3), np.uint8)
        held_out = write_packed(pictures.parent / "held out", other)
        real = write_packed(pictures.parent / "real", real)
        for command, *flags in (
            ("sample", "--count", "4"),
            ("walk", "--frames", "3", "--seconds", "1"),
            ("timelapse", "--seconds", "1"),
            ("neighbours", "--count", "10", "--data", str(real), "--held-out", str(held_out)),
        ):
            assert main([command, str(run), *flags]) == 0
        shutil.copytree(run, other := pictures.parent / "other")
        assert main(["compare", str(run), str(other)]) == 0
        after = opened("folder", pictures)
        assert (names(after), after.fingerprint()) == (names(before), before.fingerprint())
        written = ("samples.png", "walk.gif", "timelapse.gif", "neighbours.png", "compare.png")
        assert set(after.notes) == {f"left out {name}: it is made by dcgan" for name in written}
        # Pictures of the user may have these names.
        Image.new("RGB", (32, 32)).save(pictures / "samples.png")
        assert "samples.png" in names(opened("folder", pictures))

    @pytest.mark.parametrize("out", [".", "../pics", "data"])
    def test_pictures_as_out_are_refused_before_anything_is_written(self, pictures, out, capsys):
        before = sorted(pictures.rglob("*"))
        assert main([*self.TRAIN, "--out", out]) == 1
        assert "holds other files: use another --out" in capsys.readouterr().err
        assert main(["prepare", "folder", "--root", ".", "--out", out, "--size", "16"]) == 1
        assert sorted(pictures.rglob("*")) == before

    def test_other_configurations_are_no_runs(self, tmp_path):
        write(tmp_path, "model/a.png", "array/b.png", "deep/c.png")
        (tmp_path / "model" / "config.json").write_text('{"seed": 1, "batch_size": 4}')
        (tmp_path / "deep" / "config.json").write_text("[" * 100_000)
        (tmp_path / "array" / "meta.json").write_text("{}")
        source = opened("folder", tmp_path)
        assert names(source) == ["array/b.png", "deep/c.png", "model/a.png"]
        assert not [note for note in source.notes if "made by dcgan" in note]


class TestClassFolders:
    PICTURES = ("dog/1.jpg", "dog/more/2.jpg", "cat/1.jpg", "elk/1.jpg")

    @pytest.mark.parametrize("kind", ["folder", "zip", "wrapped zip"])
    def test_the_first_level_is_the_label(self, tmp_path, kind):
        if kind == "folder":
            root = write(tmp_path, *self.PICTURES)
        else:
            around = "pets/" if kind == "wrapped zip" else ""
            root = zipped(tmp_path / "pets.zip", *(around + name for name in self.PICTURES))
        source = opened("folder", root, class_folders=True)
        assert source.label_names == ("cat", "dog", "elk")
        assert source.labels.tolist() == [0, 1, 1, 2]
        assert source.labels.dtype == np.int64
        some = opened("folder", root, class_folders=True, classes=("elk", "dog", "elk"))
        assert some.label_names == ("dog", "elk")
        assert some.labels.tolist() == [0, 0, 1]

    def test_images_outside_any_class_are_bad_and_missing_classes_are_named(self, tmp_path):
        write(tmp_path, *self.PICTURES, "stray.jpg")
        source = opened("folder", tmp_path, class_folders=True)
        assert bad(source) == {"stray.jpg": "not in a class folder"}
        with pytest.raises(UserError, match=r"class folder cow .* it has cat, dog, elk"):
            opened("folder", tmp_path, class_folders=True, classes=("cow",))


class TestZip:
    def test_a_zip_is_read_in_place(self, tmp_path):
        path = zipped(tmp_path / "x.zip", "b.jpg", "a/1.png", "__MACOSX/._b.jpg", "a/", "t.txt")
        source = opened("folder", path)
        assert names(source) == ["a/1.png", "b.jpg"]
        assert source.ignored == 1
        assert reds(source) == [1, 0]
        assert not bad(source)

    def test_member_names_with_parent_folders_are_not_used_as_paths(self, tmp_path):
        path = zipped(tmp_path / "x.zip", "../../up.jpg", "/etc/abs.jpg", "C:\\win.jpg")
        source = opened("folder", path)
        assert len(source) == 3
        assert not bad(source)
        assert [entry.name for entry in tmp_path.iterdir()] == ["x.zip"]

    def test_members_that_cannot_be_read_have_a_reason(self, tmp_path):
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w") as archive:
            link = zipfile.ZipInfo("link.jpg")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
            archive.writestr("damaged.jpg", b"UNIQUE" + jpeg())
            archive.writestr("good.jpg", jpeg(), zipfile.ZIP_DEFLATED)
            archive.writestr("lzma.jpg", jpeg(), zipfile.ZIP_LZMA)
            archive.writestr("secret.jpg", b"?")
        data = bytearray(path.read_bytes())
        data[data.index(b"UNIQUE")] ^= 1
        flags = data.rindex(b"PK\1\2") + 8
        data[flags] |= 1  # the last member is said to be encrypted
        path.write_bytes(data)
        reasons = bad(opened("folder", path))
        assert list(reasons) == ["damaged.jpg", "link.jpg", "secret.jpg"]
        assert reasons["link.jpg"] == "a link"
        assert reasons["secret.jpg"] == "encrypted: unpack the zip with its password"
        assert "CRC" in reasons["damaged.jpg"]

    def test_zip_bombs_are_not_unpacked(self, tmp_path):
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("declared.jpg", "w") as member:
                for _ in range(MAX_BYTES // 2**20 + 1):
                    member.write(bytes(2**20))
            archive.writestr("hidden.jpg", bytes(10**6))
        data = bytearray(path.read_bytes())
        size = data.rindex(b"PK\1\2") + 24
        data[size : size + 4] = struct.pack("<I", 100)  # it inflates to more than it declares
        path.write_bytes(data)
        reasons = bad(opened("folder", path))
        assert "bytes, more than" in reasons["declared.jpg"]
        assert "CRC" in reasons["hidden.jpg"]

    def test_members_without_a_name_are_ignored_and_the_last_of_a_name_counts(self, tmp_path):
        path = zipped(tmp_path / "x.zip", "?.jpg", "b.jpg", "c.jpg", "N")
        data = path.read_bytes().replace(b"c.jpg", b"b.jpg")
        at = data.rindex(b"PK\1\2")
        nameless = data[at : at + 28] + b"\0\0" + data[at + 30 : at + 46]
        end = data[at + 47 :]
        size = struct.pack("<I", struct.unpack_from("<I", end, 12)[0] - 1)
        path.write_bytes(data[:at] + nameless + end[:12] + size + end[16:])
        source = opened("folder", path)
        assert names(source) == ["?.jpg", "b.jpg"]
        assert reds(source) == [0, 2], "the last of a name counts"

    def test_a_zip_replaced_after_listing_gives_bad_images(self, tmp_path):
        """A worker process opens the zip again."""
        path = zipped(tmp_path / "x.zip", "a.jpg", "b.jpg")
        source = opened("folder", path)
        zipped(path, "b.jpg")
        assert list(bad(source)) == ["a.jpg"]
        path.write_bytes(b"text")
        assert bad(source) == dict.fromkeys(
            ["a.jpg", "b.jpg"], "damaged in the zip: File is not a zip file"
        )
        path.unlink()
        assert list(bad(source)) == ["a.jpg", "b.jpg"]

    def test_a_truncated_archive_is_one_clear_line(self, tmp_path):
        path = zipped(tmp_path / "x.zip", *(f"{i}.jpg" for i in range(20)))
        whole = path.read_bytes()
        for length in (0, 10, len(whole) // 2, len(whole) - 5):
            path.write_bytes(whole[:length])
            with pytest.raises(UserError, match=r"x\.zip is not a complete zip archive"):
                opened("folder", path)


class TestCelebA:
    NAMES = tuple(f"{i:06d}.jpg" for i in range(1, 7))
    SPLITS = "000121"

    def layout(self, root: Path, kind: str) -> Path:
        images, anno, evaluation = {
            "torchvision": ("celeba/img_align_celeba", "celeba", "celeba"),
            "official": ("Img/img_align_celeba.zip", "Anno", "Eval"),
            "flat zip": ("img_align_celeba.zip", ".", "."),
            "kaggle": ("img_align_celeba/img_align_celeba", ".", "."),
        }[kind.removeprefix("archive of ").removeprefix("tar of ")]
        if kind.startswith(("archive", "tar")):
            whole = self.layout(root / "whole", kind.split(" of ")[1])
            path = root / f"archive.{'zip' if kind.startswith('archive') else 'tar'}"
            (whole / "list_bbox_celeba.csv").write_text("image_id,x_1\n")
            shutil.make_archive(str(path.with_suffix("")), path.suffix[1:], whole)
            shutil.rmtree(whole)
            return path
        for folder in (anno, evaluation, str(Path(images).parent)):
            (root / folder).mkdir(parents=True, exist_ok=True)
        if images.endswith(".zip"):
            zipped(root / images, *(f"img_align_celeba/{name}" for name in self.NAMES))
        else:
            write(root / images, *self.NAMES)
        suffix, comma = ("csv", ",") if kind == "kaggle" else ("txt", " ")
        # Image i has the first i of the attributes A, B, C, and so on.
        rows = [
            [name] + ["1" if j <= i else "-1" for j in range(4)]
            for i, name in enumerate(self.NAMES)
        ]
        head = [["image_id", *"ABCD"]] if kind == "kaggle" else [["6"], [*"ABCD"]]
        text = "\n".join(comma.join(row) for row in head + rows) + "\n"
        (root / anno / f"list_attr_celeba.{suffix}").write_text(text)
        rows = ["image_id,partition"] if kind == "kaggle" else []
        rows += [name + comma + part for name, part in zip(self.NAMES, self.SPLITS, strict=True)]
        (root / evaluation / f"list_eval_partition.{suffix}").write_text("\n".join(rows))
        return root

    @pytest.mark.parametrize(
        "kind",
        [
            *("torchvision", "official", "flat zip", "kaggle"),
            *("archive of kaggle", "tar of kaggle", "archive of torchvision"),
        ],
    )
    def test_every_layout_gives_the_same_images_labels_and_splits(self, tmp_path, kind):
        root = self.layout(tmp_path, kind)
        for split, wanted in [("train", [0, 1, 2]), ("valid", [3, 5]), ("test", [4])]:
            source = opened("celeba", root, split=split)
            assert reds(source) == wanted
            expected = [[int(j <= i) for j in range(4)] for i in wanted]
            assert source.labels.tolist() == expected
            assert source.labels.dtype == np.uint8
            assert source.label_names == ("A", "B", "C", "D")
            others = ["left out .csv: 1"] if "of" in kind.split() else []
            assert source.notes == others, "each list is read"
            assert source.default_crop == 178
        assert len(opened("celeba", root, split="all")) == 6

    def test_the_root_may_be_the_image_folder(self, tmp_path):
        root = self.layout(tmp_path, "torchvision") / "celeba" / "img_align_celeba"
        assert opened("celeba", root).labels.shape == (3, 4)
        root = self.layout(tmp_path / "2", "kaggle") / "img_align_celeba" / "img_align_celeba"
        assert opened("celeba", root).labels.shape == (3, 4)

    def test_the_root_may_be_the_zip_of_the_official_layout(self, tmp_path):
        root = self.layout(tmp_path, "official") / "Img" / "img_align_celeba.zip"
        source = opened("celeba", root, split="valid")
        assert source.labels.shape == (2, 4)
        assert not source.notes

    @pytest.mark.parametrize("kind", ["folder", "zip", "images"])
    def test_celebamask_hq_has_attributes_and_no_masks_among_its_images(self, tmp_path, kind):
        root = tmp_path / "CelebAMask-HQ"
        write(root / "CelebA-HQ-img", *(f"{i}.jpg" for i in range(4)))
        write(root / "CelebAMask-HQ-mask-anno", "0/00000_hair.png", "0/00000_nose.png")
        rows = ["4", "A B", *(f"{i}.jpg  {'1' if i % 2 else '-1'} 1" for i in range(4))]
        (root / "CelebAMask-HQ-attribute-anno.txt").write_text("\n".join(rows))
        rows = ["idx orig_idx orig_file", *(f"{i}   {9 - i}   00000{9 - i}.jpg" for i in range(4))]
        (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(rows))
        if kind == "zip":
            root = Path(shutil.make_archive(str(tmp_path / "x"), "zip", tmp_path, root.name))
        elif kind == "images":
            root = root / "CelebA-HQ-img"
        source = opened("celeba", root)
        assert reds(source) == [0, 1, 2, 3]
        assert source.labels.tolist() == [[0, 1], [1, 1], [0, 1], [1, 1]]
        assert source.label_names == ("A", "B")
        assert source.default_crop is None
        assert "no list_eval_partition.txt: all images are used" in source.notes
        masks = {"image outside of CelebA-HQ-img": 2} if kind == "zip" else {}
        assert source.left_out == masks
        beside = root.parent if kind == "images" else tmp_path
        beside = tmp_path / "CelebAMask-HQ" if kind == "folder" else beside
        (beside / "list_eval_partition.txt").write_text(
            "000009.jpg 0\n000008.jpg 1\n000007.jpg 2\n000006.jpg 1\n0.jpg 2\n"
        )
        assert reds(opened("celeba", root, split="valid")) == [1, 3]

    def test_the_archive_to_give_as_root_is_named(self, tmp_path):
        zipped(tmp_path / "archive.zip", "img_align_celeba/img_align_celeba/000001.jpg")
        with pytest.raises(UserError, match=r"if archive.zip holds the images, give it as --root"):
            opened("celeba", tmp_path)
        zipped(tmp_path / "other.zip", "a.jpg", "b.zip")
        with pytest.raises(UserError, match=r"no img_align_celeba .*left out .zip: 1 \(not opened"):
            opened("celeba", tmp_path / "other.zip")

    @pytest.mark.parametrize("kind", ["folder", "zip"])
    def test_images_outside_of_any_folder_are_named(self, tmp_path, kind):
        names = "000001.jpg", "000002.jpg"
        root = tmp_path / f"x.{kind}"
        zipped(root, *names) if kind == "zip" else write(root, *names)
        with pytest.raises(UserError, match=r"move CelebA's into img_align_celeba, use the source"):
            opened("celeba", root)

    def test_a_split_needs_the_partition_file(self, tmp_path):
        write(tmp_path / "img_align_celeba", *self.NAMES)
        with pytest.raises(UserError, match="so there is no valid split"):
            opened("celeba", tmp_path, split="valid")

    def test_without_annotations_all_images_are_used_and_a_note_says_so(self, tmp_path):
        write(tmp_path / "img_align_celeba", *self.NAMES)
        source = opened("celeba", tmp_path)
        assert len(source) == 6
        assert source.labels is None
        assert "no list_eval_partition" in source.notes[0]
        assert "no labels" in source.notes[1]

    def test_only_images_with_malformed_rows_are_bad(self, tmp_path):
        root = self.layout(tmp_path, "flat zip")
        (root / "list_attr_celeba.txt").write_text(
            "6\nA B\n000001.jpg 1 -1\n000002.jpg 1\n000003.jpg 1 0\n\n"
            "000004.jpg 1 1 1\n000006.jpg -1  1\n999999.jpg 1 1\n"
        )
        source = opened("celeba", root, split="all")
        assert bad(source) == {
            f"img_align_celeba/00000{i}.jpg": "no complete row in list_attr_celeba.txt"
            for i in (2, 3, 4, 5)
        }
        assert source.labels[[0, 5]].tolist() == [[1, 0], [0, 1]]

    def test_names_of_attributes_are_printable(self, tmp_path):
        root = self.layout(tmp_path, "flat zip")
        text = "1\nA\x1b[31m \u202eB\n000001.jpg 1 1\n"
        (root / "list_attr_celeba.txt").write_text(text, encoding="utf-8")
        assert opened("celeba", root).label_names == ("A\\x1b[31m", "\\u202eB")

    def test_images_without_a_split_are_left_out_and_counted(self, tmp_path):
        root = self.layout(tmp_path, "flat zip")
        (root / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg\n000003.jpg 9\n")
        source = opened("celeba", root)
        assert len(source) == 1
        assert "left out 5 images" in source.notes[0]
        with pytest.raises(UserError, match="valid split"):
            opened("celeba", root, split="valid")

    def test_missing_images_and_empty_annotations_are_refused(self, tmp_path):
        with pytest.raises(UserError, match="no img_align_celeba or CelebA-HQ-img folder"):
            opened("celeba", tmp_path)
        (tmp_path / "img_align_celeba").mkdir()
        with pytest.raises(UserError, match="no images in"):
            opened("celeba", tmp_path)
        self.layout(tmp_path, "flat zip")
        (tmp_path / "img_align_celeba").rmdir()
        (tmp_path / "list_attr_celeba.txt").write_bytes(b"")
        with pytest.raises(UserError, match="no line of attribute names"):
            opened("celeba", tmp_path)

    def test_the_fingerprint_covers_the_annotations(self, tmp_path):
        root = self.layout(tmp_path, "flat zip")
        before = opened("celeba", root).fingerprint()
        (root / "list_attr_celeba.txt").write_text("0\nA\n")
        assert opened("celeba", root).fingerprint() != before


def make_lmdb(path: Path, values: dict[bytes, bytes], subdir=True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    environment = lmdb.open(str(path), map_size=2**24, subdir=subdir)
    with environment as database, database.begin(write=True) as change:
        for key, value in values.items():
            change.put(key, value)
    return path


@pytest.fixture
def forbid_opening(monkeypatch):
    """A function after whose call no database can be opened in this process, only in children."""
    return lambda: monkeypatch.setattr(
        lmdb, "open", lambda *_, **__: pytest.fail("opened in the main process")
    )


class TestLsun:
    def lsun(self, root: Path) -> Path:
        for number, name in enumerate(["bedroom_train", "church_outdoor_train", "bedroom_val"]):
            values = {b"%02d" % i: jpeg(20 * (3 * number + i), "WEBP") for i in range(3)}
            make_lmdb(root / f"{name}_lmdb", values)
        return root

    def test_categories_and_splits(self, tmp_path):
        root = self.lsun(tmp_path)
        both = opened("lsun", root)
        assert both.label_names == ("bedroom", "church_outdoor")
        assert both.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert reds(both) == [0, 1, 2, 3, 4, 5]
        assert names(both)[4] == "church_outdoor_train_lmdb/01"
        one = opened("lsun", root, classes=("church_outdoor",))
        assert one.labels is None
        assert reds(one) == [3, 4, 5]
        assert reds(opened("lsun", root, split="valid")) == [6, 7, 8]
        assert reds(opened("lsun", root, split="all", classes=("bedroom",))) == [0, 1, 2, 6, 7, 8]
        assert reds(opened("lsun", root / "bedroom_val_lmdb")) == [6, 7, 8]

    def test_categories_of_objects_have_no_split(self, tmp_path):
        for number, name in enumerate(["cat", "dog"]):
            make_lmdb(tmp_path / name, {b"%d" % i: jpeg(20 * (2 * number + i)) for i in range(2)})
        source = opened("lsun", tmp_path)
        assert source.label_names == ("cat", "dog")
        assert source.labels.tolist() == [0, 0, 1, 1]
        assert reds(source) == [0, 1, 2, 3]
        assert source.notes == ["no split of cat, dog: all images are used"]
        assert reds(opened("lsun", tmp_path, classes=("dog",))) == [2, 3]
        assert reds(opened("lsun", tmp_path, split="all")) == [0, 1, 2, 3]
        assert reds(opened("lsun", tmp_path / "dog")) == [2, 3]
        assert reds(opened("lsun", tmp_path / "dog", classes=("dog",))) == [2, 3]
        with pytest.raises(UserError, match="has no valid split: --split is train or all"):
            opened("lsun", tmp_path, split="valid")
        with pytest.raises(UsageError, match=r"a single LMDB, of cat"):
            opened("lsun", tmp_path / "cat", classes=("dog",))
        make_lmdb(tmp_path / "bedroom_train_lmdb", {b"0": jpeg(80)})
        source = opened("lsun", tmp_path)
        assert source.label_names == ("bedroom", "cat", "dog")
        assert reds(source) == [4, 0, 1, 2, 3]

    @pytest.mark.parametrize("name", ["cat", "bedroom_train_lmdb"])
    def test_what_is_no_database_is_named_and_not_passed_over(self, tmp_path, name):
        make_lmdb(tmp_path / "dog", {b"0": jpeg()})
        (tmp_path / name / "data.mdb").mkdir(parents=True)
        for root in (tmp_path, tmp_path / name):
            with pytest.raises(UserError, match=rf"{name}/data.mdb is a folder: LSUN's is a file"):
                opened("lsun", root)
        assert len(opened("lsun", tmp_path, classes=("dog",))) == 1

    def test_zips_of_databases_are_named_with_the_command_that_unpacks_them(self, tmp_path):
        zipped(tmp_path / "my cat.zip", "cat/data.mdb")
        with pytest.raises(UserError, match=r"but my cat.zip: unpack it .*`unzip 'my cat.zip'`"):
            opened("lsun", tmp_path)
        with pytest.raises(UserError, match=r"my cat.zip is a zip: unpack it"):
            opened("lsun", tmp_path / "my cat.zip")
        with pytest.raises(UserError, match=r"no LMDB at .*: unpack .*my cat.zip there"):
            opened("lsun", tmp_path, classes=("my cat",))

    def test_missing_categories_may_be_of_scenes_or_objects(self, tmp_path):
        with pytest.raises(UserError, match=r"cow_train_lmdb.zip, or cow.zip of its objects"):
            opened("lsun", tmp_path, classes=("cow",))
        make_lmdb(tmp_path / "cow" / "cow", {b"0": jpeg()})
        with pytest.raises(UserError, match=f"but .*data.mdb: give {tmp_path / 'cow'} as --root"):
            opened("lsun", tmp_path)

    def test_a_database_may_be_a_single_file(self, tmp_path):
        path = tmp_path / "rooms.mdb"
        make_lmdb(path, {b"a": jpeg(20), b"b": jpeg(40)}, subdir=False)
        source = opened("lsun", path)
        assert reds(source) == [1, 2]
        assert names(source) == ["rooms.mdb/a", "rooms.mdb/b"]

    @pytest.mark.parametrize("keys_apart", [1, 7, 1024])
    def test_any_order_of_indices_gives_the_same_images(self, tmp_path, monkeypatch, keys_apart):
        keys = [os.urandom(20).hex().encode() for _ in range(50)]
        make_lmdb(tmp_path / "a_train_lmdb", {key: jpeg(i * 5) for i, key in enumerate(keys)})
        make_lmdb(tmp_path / "b_train_lmdb", {b"k%d" % i: jpeg(i * 5) for i in range(9)})
        source = opened("lsun", tmp_path)
        # Child processes do not see a patched constant: the keys are listed in this one.
        monkeypatch.setattr(lmdb_reader, "_KEY_INTERVAL", keys_apart)
        monkeypatch.setattr(lmdb_reader, "stream_from_child", lambda list_, *rest: list_(*rest))
        expected = [f"a_train_lmdb/{key.decode()}" for key in sorted(keys)]
        expected += [f"b_train_lmdb/k{i}" for i in range(9)]
        assert names(source) == expected
        worker = in_worker(source)
        images, _ = worker.read_images(range(59), 8, 3, None)
        assert len({image.tobytes() for image in images}) == 50
        order = np.random.default_rng(0).permutation(np.repeat(np.arange(59), 2))
        shuffled, _ = worker.read_images(order, 8, 3, None)
        np.testing.assert_array_equal(shuffled, images[order])
        np.testing.assert_array_equal(
            worker.read_images([7, 7, 8], 8, 3, None)[0], images[[7, 7, 8]]
        )

    @pytest.mark.parametrize("workers", [1, 2])
    def test_the_main_process_never_opens_a_database(self, tmp_path, workers, forbid_opening):
        values = {b"%02d" % i: jpeg(5 * i, "PNG") for i in range(50)} | {b"17": b"text"}
        make_lmdb(tmp_path / "raw" / "bedroom_train_lmdb", values)
        forbid_opening()
        source = opened("lsun", tmp_path / "raw")
        sizes, modes = sizes_and_modes(source, np.arange(50))
        assert sizes.tolist() == [[20, 20]] * 49
        assert modes == {"RGB": 49}
        packed = pack(source, tmp_path / "out", 8, 3, max_bad=0.1, workers=workers)
        assert packed.images[:, 4, 4, 0].tolist() == [5 * i for i in range(50) if i != 17]
        (skipped,) = packed.meta["skipped"]
        assert skipped["name"] == "bedroom_train_lmdb/17"
        assert "not an image" in skipped["reason"]

    def test_a_source_pickles_small(self, tmp_path):
        make_lmdb(tmp_path / "a_train_lmdb", {b"%040d" % i: b"" for i in range(5000)})
        source = opened("lsun", tmp_path)
        source.build_index()
        assert len(pickle.dumps(source)) < 5000
        assert names(source)[4321] == f"a_train_lmdb/{4321:040d}"

    def test_values_that_are_no_images_are_skipped_with_a_reason(self, tmp_path):
        values = {b"a": jpeg(), b"b": b"", b"c": b"pickle?", b"\xff\xfe": jpeg()[:99], b"d": jpeg()}
        make_lmdb(tmp_path / "bedroom_train_lmdb", values)
        reasons = bad(opened("lsun", tmp_path))
        assert list(reasons.values())[:2] == ["empty file", reasons["bedroom_train_lmdb/c"]]
        assert "not an image" in reasons["bedroom_train_lmdb/c"]
        assert "bedroom_train_lmdb/\\xff\\xfe" in reasons
        assert len(reasons) == 3

    def test_a_value_that_is_too_large_is_not_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr("dcgan.data.sources.lsun.MAX_BYTES", 10_000)
        values = {b"a": jpeg() + bytes(20_000), b"b": jpeg()}
        make_lmdb(tmp_path / "bedroom_train_lmdb", values)
        ((name, reason),) = bad(opened("lsun", tmp_path)).items()
        assert name == "bedroom_train_lmdb/a"
        assert "bytes, more than 10,000" in reason

    def test_an_lmdb_inside_an_lmdb_is_no_image(self, tmp_path):
        with lmdb.open(str(tmp_path / "b_train_lmdb"), max_dbs=1, map_size=2**20) as database:
            database.open_db(b"inner")
            with database.begin(write=True) as change:
                change.put(b"a", jpeg())
        reasons = bad(opened("lsun", tmp_path))
        assert list(reasons) == ["b_train_lmdb/inner"]

    def damaged(self, tmp_path, page: int | str, offset: int, value: bytes) -> Path:
        """An LMDB of a branch and leaves, 16 large images each, with some bytes replaced.

        Pages 2 and 3 are the first leaf and the first image; page 0 is not the newer first page.
        """
        folder = tmp_path / "raw" / "bedroom_train_lmdb"
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(exist_ok=True)
        make_lmdb(folder, {b"%02d" % i * 100: jpeg(i) + bytes(4000) for i in range(60)})
        content = bytearray((folder / "data.mdb").read_bytes())
        kinds = [content[start + 10] for start in range(0, len(content), 4096)]
        at = {"branch": kinds.index(1), "leaf": kinds.index(2), "image": kinds.index(4)}
        place = 4096 * at.get(page, page) + offset
        content[place : place + len(value)] = value
        (folder / "data.mdb").write_bytes(content)
        return tmp_path / "raw"

    def refusal(self, root: Path) -> str:
        """The one line that packing ends in."""
        with pytest.raises(UserError) as caught:
            pack(opened("lsun", root), root.parent / "out", 8, 3, workers=1)
        message = str(caught.value)
        assert "bedroom_train_lmdb" in message
        assert "\n" not in message
        assert [path.name for path in root.parent.iterdir()] == [root.name]
        return message

    @pytest.mark.parametrize(
        ("page", "offset", "value", "message"),
        [
            ("branch", 12, b"\xff\xff", "page was wrong type"),
            ("branch", 10, b"\2", "page was wrong type"),
            ("leaf", 12, b"\x12", "it holds 44 entries of 60"),
            (1, 120, b"\xff" * 6, r"bytes cannot hold [\d,]+ entries"),
            (1, 120, b"\7", "out of order"),
            (1, 16, b"text", "is not an LMDB"),
            (0, 40, b"\0\0\0\0", "is not an LMDB"),
        ],
    )
    def test_a_damaged_page_is_one_clear_line(
        self, tmp_path, page, offset, value, message, forbid_opening
    ):
        root = self.damaged(tmp_path, page, offset, value)
        forbid_opening()
        assert re.search(
            rf"^cannot read the LMDB .*{message}.*Unpack it again$", self.refusal(root)
        )

    @pytest.mark.parametrize("workers", [1, 2])
    def test_an_entry_that_crashes_its_process_is_skipped(self, tmp_path, workers, forbid_opening):
        """The size of the first value becomes 128 MB, most of it beyond the end of the file."""
        root = self.damaged(tmp_path, "leaf", 0, b"")
        sound = pack(opened("lsun", root), tmp_path / "sound", 16, 3).images
        data = root / "bedroom_train_lmdb" / "data.mdb"
        content = bytearray(data.read_bytes())
        leaf = next(s for s in range(0, len(content), 4096) if content[s + 10] == 2)
        (node,) = struct.unpack_from("<H", content, leaf + 16)
        struct.pack_into("<I", content, leaf + node, 2**27)
        data.write_bytes(content)
        forbid_opening()
        whole = pack(opened("lsun", root), tmp_path / "out", 16, 3, max_bad=0.1, workers=workers)
        (skipped,) = whole.meta["skipped"]
        assert (len(whole), skipped["name"]) == (59, "bedroom_train_lmdb/entry 0")
        assert re.search(r"the process that read it failed, .*SIG(BUS|SEGV)", skipped["reason"])
        np.testing.assert_array_equal(whole.images, sound[1:])
        with pytest.raises(UserError, match=r"1 of .* images cannot be read, more than --max-bad"):
            pack(opened("lsun", root), tmp_path / "strict", 16, 3, workers=workers)
        with pytest.raises(UserError, match=r"a process that read images failed: .*, perhaps"):
            sizes_and_modes(opened("lsun", root), np.arange(60))

    def test_reading_a_tree_with_a_cycle_ends(self, tmp_path):
        root = self.damaged(tmp_path, "branch", 0, b"")
        data = root / "bedroom_train_lmdb" / "data.mdb"
        content = bytearray(data.read_bytes())
        start = next(s for s in range(0, len(content), 4096) if content[s + 10] == 1)
        first, second = struct.unpack_from("<HH", content, start + 16)
        content[start + first : start + first + 4] = content[start + second : start + second + 4]
        data.write_bytes(content)
        assert "its keys are out of order" in self.refusal(root)

    def test_a_database_replaced_after_listing_gives_bad_images(self, tmp_path):
        source = opened("lsun", self.damaged(tmp_path, "leaf", 0, b""))
        source.build_index()
        path = tmp_path / "raw" / "bedroom_train_lmdb" / "data.mdb"
        path.write_bytes(path.read_bytes()[: 4096 * 3])
        reasons = bad(source)
        assert len(reasons) == 60
        assert set(reasons.values()) == {"damaged in the LMDB: it is cut short"}
        shutil.rmtree(path.parent)
        make_lmdb(path.parent, {b"%d" % i: jpeg() for i in range(60)})
        changed = {"damaged in the LMDB: it has changed since its keys were listed"}
        assert set(bad(source).values()) == changed
        path.unlink()
        assert len(bad(source)) == 60

    def test_a_read_only_database_can_be_read_and_is_not_changed(self, tmp_path):
        folder = make_lmdb(tmp_path / "raw" / "bedroom_train_lmdb", {b"a": jpeg()})
        (folder / "lock.mdb").unlink()
        (folder / "data.mdb").chmod(0o400)
        folder.chmod(0o500)
        before = (folder / "data.mdb").read_bytes()
        assert len(pack(opened("lsun", tmp_path / "raw"), tmp_path / "out", 8, 3)) == 1
        assert sorted(p.name for p in folder.iterdir()) == ["data.mdb"]
        assert (folder / "data.mdb").read_bytes() == before
        folder.chmod(0o700)

    def test_other_files_in_place_of_an_lmdb_are_one_clear_line(self, tmp_path):
        for name, data, message in [
            ("text", b"no database" * 1000, "is not an LMDB"),
            ("short", b"no database", "is not an LMDB"),
            ("empty", b"", "the file is empty"),
        ]:
            write(tmp_path / name, "bedroom_train_lmdb/data.mdb", data=data)
            with pytest.raises(UserError, match=f"bedroom_train_lmdb: .*{message}"):
                opened("lsun", tmp_path / name)
        (tmp_path / "none" / "bedroom_train_lmdb").mkdir(parents=True)
        with pytest.raises(UserError, match=r"no LMDB at .*bedroom_train_lmdb; unpack LSUN's"):
            opened("lsun", tmp_path / "none")
        (tmp_path / "none" / "bedroom_train_lmdb").rmdir()
        with pytest.raises(UserError, match=r"no _train_lmdb folder in .*, and no folder with a"):
            opened("lsun", tmp_path / "none")
        make_lmdb(tmp_path / "hollow_train_lmdb", {})
        with pytest.raises(UserError, match="hollow_train_lmdb is an LMDB without entries"):
            opened("lsun", tmp_path)

    def test_the_damaged_one_of_several_databases_is_named(self, tmp_path):
        root = self.lsun(tmp_path)
        (root / "church_outdoor_train_lmdb" / "data.mdb").write_bytes(b"text")
        with pytest.raises(UserError, match="church_outdoor_train_lmdb: ") as caught:
            opened("lsun", root)
        assert "bedroom" not in str(caught.value).replace(str(root), "")

    def test_a_cut_database_is_one_clear_line(self, tmp_path):
        folder = make_lmdb(tmp_path / "bedroom_train_lmdb", {b"%d" % i: jpeg() for i in range(50)})
        whole = (folder / "data.mdb").read_bytes()
        (folder / "data.mdb").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UserError, match="bedroom_train_lmdb: it is cut short"):
            opened("lsun", tmp_path)

    def test_contradictory_options_are_refused(self, tmp_path):
        root = self.lsun(tmp_path)
        with pytest.raises(UserError, match=r"no LMDB at .*tower_train_lmdb"):
            opened("lsun", root, classes=("tower",))
        with pytest.raises(UserError, match=r"no LMDB at .*test_lmdb"):
            opened("lsun", root, split="test")
        with pytest.raises(UsageError, match="no categories"):
            opened("lsun", root, split="test", classes=("bedroom",))
        with pytest.raises(UsageError, match="single LMDB"):
            opened("lsun", root / "bedroom_train_lmdb", classes=("tower",))
        assert len(opened("lsun", root / "bedroom_train_lmdb", classes=("bedroom",))) == 3


class TestFaces:
    def test_splits_share_no_face_and_counts_extend_each_other(self):
        from dcgan.data import faces

        few, more = opened("faces", None, count=3), opened("faces", None, count=5)
        images, _ = few.read_images(range(3), 32, 3, None)
        np.testing.assert_array_equal(images, more.read_images([0, 1, 2], 32, 3, None)[0])
        np.testing.assert_array_equal(few.labels, faces.sample_attributes([0, 1, 2]).numpy())
        assert few.label_names == faces.ATTRIBUTES
        assert few.labels.dtype == np.uint8
        valid = opened("faces", None, count=3, split="valid").read_images(range(3), 32, 3, None)[0]
        assert not any((a == b).all() for a in images for b in valid)

    def test_grey_is_the_luma_of_pillow(self):
        source = opened("faces", None, count=2)
        colour, grey = (source.read_images([1], 32, channels, None)[0][0] for channels in (3, 1))
        expected = np.asarray(Image.fromarray(colour).convert("L"))
        np.testing.assert_array_equal(grey[..., 0], expected)

    def test_invalid_options_are_refused(self, tmp_path):
        for options in [{"split": "all"}, {"count": 0}, {"crop": 9}, {"root": tmp_path}]:
            with pytest.raises(UsageError):
                opened("faces", options.pop("root", None), **options)


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


class TestIdx:
    IMAGES = np.random.default_rng(0).integers(0, 256, (7, 28, 28), dtype=np.uint8)
    LABELS = np.array([3, 1, 4, 1, 5, 9, 2])

    def mnist(self, folder: Path, separator="-", gz=False) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for stem, part in (("train", slice(0, 5)), ("t10k", slice(5, 7))):
            for kind, array in (("images-idx3", self.IMAGES), ("labels-idx1", self.LABELS)):
                name = f"{stem}-{kind}-ubyte".replace("-idx", separator + "idx")
                data = idx(array[part])
                name, data = (name + ".gz", gzip.compress(data)) if gz else (name, data)
                (folder / name).write_bytes(data)
        return folder

    @pytest.mark.parametrize("gz", [False, True])
    @pytest.mark.parametrize("separator", ["-", "."])
    @pytest.mark.parametrize("place", [".", "raw", "MNIST/raw"])
    def test_files_are_found_in_every_place_and_under_every_name(
        self, tmp_path, place, separator, gz
    ):
        self.mnist(tmp_path / place, separator, gz)
        train, test = (opened("mnist", tmp_path, split=split) for split in ("train", "test"))
        assert train.labels.tolist() == [3, 1, 4, 1, 5]
        assert test.labels.tolist() == [9, 2]
        everything = opened("mnist", tmp_path, split="all")
        images, reasons = everything.read_images(range(7), 28, 1, None)
        np.testing.assert_array_equal(images[..., 0], self.IMAGES)
        assert not reasons
        assert everything.read_images([0], 32, 3, None)[0].shape == (1, 32, 32, 3)
        assert everything.label_names[3] == "3"
        assert everything.labels.dtype == np.int64

    def test_fashion_mnist_has_names(self, tmp_path):
        self.mnist(tmp_path / "FashionMNIST" / "raw")
        assert opened("fashion-mnist", tmp_path).label_names[1] == "Trouser"

    def test_damage_is_one_clear_line(self, tmp_path):
        images, labels = idx(self.IMAGES), idx(self.LABELS)
        for name, data, message in [
            ("train-images-idx3-ubyte", images[:-1], "should hold 7 x 28 x 28 bytes"),
            ("train-images-idx3-ubyte", images + b"x", "should hold"),
            ("train-images-idx3-ubyte", b"", "not an IDX file"),
            ("train-images-idx3-ubyte", images[:10], "damaged"),
            ("train-images-idx3-ubyte", labels, "not an IDX file of 3-dim"),
            ("train-images-idx3-ubyte", idx(self.IMAGES[:0]), "damaged"),
            ("train-images-idx3-ubyte", b"\0\0\x08\x03" + b"\xff" * 12, "damaged"),
            ("train-images-idx3-ubyte", idx(self.IMAGES)[:4] + b"\0\0\7\0" * 3, "damaged"),
            ("train-labels-idx1-ubyte", idx(self.LABELS[:3]), "5 images, but 3 labels"),
            ("train-labels-idx1-ubyte", idx(self.LABELS[:5] + 10), "the label 15"),
        ]:
            self.mnist(tmp_path)
            (tmp_path / name).write_bytes(data)
            with pytest.raises(UserError, match=message) as caught:
                opened("mnist", tmp_path)
            assert str(tmp_path) in str(caught.value)
        packed = gzip.compress(idx(self.IMAGES[:5]))
        for data in (packed[:-20], b"\x1f\x8b" + packed[:20], b"text"):
            self.mnist(tmp_path, gz=True)
            (tmp_path / "train-images-idx3-ubyte").unlink(missing_ok=True)
            (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(data)
            with pytest.raises(UserError, match="damaged"):
                opened("mnist", tmp_path)

    def test_inconsistent_files_are_one_clear_line(self, tmp_path):
        self.mnist(tmp_path)
        (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(self.IMAGES[:2, :, :9]))
        with pytest.raises(UserError, match="differ in size"):
            opened("mnist", tmp_path, split="all")
        self.mnist(tmp_path)  # as many labels as images, but not in each part
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(self.LABELS[:6]))
        (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(self.LABELS[6:]))
        with pytest.raises(UserError, match="5 images, but 6 labels"):
            opened("mnist", tmp_path, split="all")

    def test_a_gzip_bomb_is_not_unpacked(self, tmp_path, monkeypatch):
        monkeypatch.setattr("dcgan.data.sources.arrays.MAX_BYTES", 10**6)
        self.mnist(tmp_path, gz=True)
        count = 10**6 + 1
        header = bytes([0, 0, 8, 3]) + struct.pack(">3I", count, 1, 1)
        bomb = gzip.compress(header + bytes(10**7))
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(bomb)
        monkeypatch.setattr(gzip.GzipFile, "read", self.at_most(10**6))
        with pytest.raises(UserError, match="damaged: it should hold 1000001 x 1 x 1 bytes"):
            opened("mnist", tmp_path)

    def at_most(self, limit):
        read = gzip.GzipFile.read

        def counted(file, size=-1):
            assert 0 <= size <= limit + 1
            return read(file, size)

        return counted

    def test_the_valid_split_is_refused(self, tmp_path):
        for source in ("mnist", "cifar10", "svhn", "stl10"):
            with pytest.raises(UsageError, match="no valid split"):
                opened(source, tmp_path, split="valid")


@pytest.fixture
def torchvision_sets(monkeypatch):
    return pytest.importorskip("torchvision.datasets")


class TestTorchvision:
    @pytest.mark.parametrize("source", ["mnist", "fashion-mnist", "cifar10", "svhn", "stl10"])
    @pytest.mark.parametrize("error", [URLError("no network"), RuntimeError("Dataset\nnot found")])
    def test_without_data_and_network_one_line_names_the_folder(
        self, tmp_path, source, error, torchvision_sets, monkeypatch
    ):
        def fail(*_, **__):
            raise error

        for name in ("MNIST", "FashionMNIST", "CIFAR10", "SVHN", "STL10"):
            monkeypatch.setattr(torchvision_sets, name, fail)
        with pytest.raises(
            UserError, match=f"^{source} .*is missing or incomplete in .*"
        ) as caught:
            opened(source, tmp_path / "new")
        assert str(tmp_path / "new") in str(caught.value)
        assert not any(tmp_path.iterdir()), "an empty folder is left"
        assert "\n" not in str(caught.value)
        assert "mnist" not in source or "train-images-idx3-ubyte" in str(caught.value)

    def test_a_failed_download_deletes_only_empty_folders_it_created(
        self, tmp_path, torchvision_sets, monkeypatch
    ):
        def fail(root, **_):
            Path(root, "MNIST", "raw").mkdir(parents=True, exist_ok=True)
            if root.endswith("partial"):
                Path(root, "MNIST", "raw", "images.gz").write_text("half")
            raise URLError("no network")

        monkeypatch.setattr(torchvision_sets, "MNIST", fail)
        (tmp_path / "mine" / "MNIST").mkdir(parents=True)
        for root in ("mine", "partial", "new/deep"):
            with pytest.raises(UserError):
                opened("mnist", tmp_path / root)
        left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
        raw = "partial/MNIST/raw"
        assert left == {"mine", "mine/MNIST", "partial", "partial/MNIST", raw, f"{raw}/images.gz"}

    def test_arrays_become_images_with_labels(self, tmp_path, torchvision_sets, monkeypatch):
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)  # [N, H, W, C]

        class Fake:
            classes = tuple("abcdefghij")

            def __init__(self, root, download, train=True, split="train"):
                planes = pixels if train and split != "test" else 255 - pixels
                self.data = planes if self.last else planes.transpose(0, 3, 1, 2)
                self.targets = [0, 1, 2, 9]
                self.labels = np.array(self.targets)

        for source, name in [("cifar10", "CIFAR10"), ("svhn", "SVHN"), ("stl10", "STL10")]:
            fake = type(name, (Fake,), {"last": source == "cifar10"})
            monkeypatch.setattr(torchvision_sets, name, fake)
            train, test = (opened(source, tmp_path, split=split) for split in ("train", "test"))
            np.testing.assert_array_equal(train.read_images(range(4), 32, 3, None)[0], pixels)
            np.testing.assert_array_equal(test.read_images(range(4), 32, 3, None)[0], 255 - pixels)
            assert train.labels.tolist() == [0, 1, 2, 9]
            assert len(train.label_names) == 10
            everything = opened(source, tmp_path, split="all")
            assert (everything.labels is None) == (source == "stl10")
            assert len(everything) == (4 if source == "stl10" else 8)

    def test_a_forged_pickle_is_not_executed(self, tmp_path, torchvision_sets, monkeypatch):
        """CIFAR-10 comes as pickles: torchvision reads those of the right checksum alone."""

        class Forged:
            def __reduce__(self):
                return Path.touch, (tmp_path / "pwned",)

        def refuse(*_, **__):
            raise URLError("no network")

        monkeypatch.setattr("urllib.request.urlopen", refuse)
        batches = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch", "batches.meta"]
        data = pickle.dumps(Forged())
        write(tmp_path / "cifar-10-batches-py", *batches, data=data)
        with pytest.raises(UserError, match=r"cifar10 is missing or incomplete in"):
            opened("cifar10", tmp_path)
        assert not (tmp_path / "pwned").exists()
        pickle.loads(data)
        assert (tmp_path / "pwned").exists(), "it would have shown"

    def test_stl10_does_not_need_its_file_of_class_names(
        self, tmp_path, torchvision_sets, monkeypatch
    ):
        class Fake:  # without classes, as torchvision's where class_names.txt is missing
            data, labels = np.zeros((3, 3, 8, 8), np.uint8), np.array([0, 1, 9])

            def __init__(self, *_, **__):
                pass

        monkeypatch.setattr(torchvision_sets, "STL10", Fake)
        names = opened("stl10", tmp_path).label_names
        assert (len(names), names[0], names[9]) == (10, "airplane", "truck")

    def test_svhn_names_the_extra_that_it_needs(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "scipy.io", None)
        with pytest.raises(UserError, match=r"dcgan\[svhn\]"):
            opened("svhn", tmp_path)


@posix
def test_a_pipe_in_the_place_of_any_file_of_a_data_set_does_not_hang(tmp_path):
    write(tmp_path / "img_align_celeba", "000001.jpg")
    for name in ("list_attr_celeba.txt", "test_lmdb", "b_train_lmdb", "train-images-idx3-ubyte"):
        os.mkfifo(tmp_path / name)
    os.mkfifo(tmp_path / "x.zip")
    assert len(opened("celeba", tmp_path)) == 1
    for root, options in [
        (tmp_path, {"source": "lsun"}),
        (tmp_path, {"source": "lsun", "split": "test"}),
        (tmp_path / "test_lmdb", {"source": "lsun"}),
        (tmp_path / "x.zip", {"source": "folder"}),
    ]:
        with pytest.raises(UserError):
            opened(root=root, **options)


@as_user
def test_a_root_without_permission_is_one_clear_line(tmp_path):
    closed = write(tmp_path / "closed", "a.jpg")
    closed.chmod(0)
    try:
        for source in ("folder", "celeba", "lsun", "mnist"):
            for root in (closed, closed / "below"):
                with pytest.raises(UserError, match=r"[Pp]ermission denied"):
                    opened(source, root)
    finally:
        closed.chmod(0o700)


def test_options_of_another_source_are_refused(tmp_path):
    for source, options in [
        ("lsun", {"class_folders": True}),
        ("mnist", {"classes": ("1",)}),
        ("picasa", {}),
    ]:
        with pytest.raises(UsageError):
            opened(source, tmp_path, **options)


def test_every_source_of_the_command_line_can_be_opened():
    from typing import get_args

    from dcgan.config import SourceName

    assert set(_NAMES) == set(get_args(SourceName))


def test_a_walk_keeps_little_of_each_file(tmp_path):
    """There may be tens of millions of them: a whole `os.stat_result` takes 500 bytes."""
    for number in range(2000):
        (tmp_path / f"{number:06}.jpg").touch()
    tracemalloc.start()
    files = open_source(DataOptions(source="folder", root=tmp_path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(files) == 2000
    assert peak / 2000 < 500
