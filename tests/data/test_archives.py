"""Zips and tars as people have them: made on Windows, by StyleGAN, by Kaggle; and what is none."""

import io
import json
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcgan.config import DataOptions
from dcgan.data import pack
from dcgan.data.sources import open_source
from dcgan.errors import UserError

PAGE = (
    b"\xef\xbb\xbf <!-- x -->\n<!DOCTYPE HTML><html><head><title>Google Drive</title></head></html>"
)


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def write(path: Path, members: dict[str, bytes], kind: str) -> Path:
    """The members as a folder, a zip or a tar."""
    if kind == "folder":
        for name, data in members.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        return path
    path = path.with_name(f"{path.name}.{kind}")
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def opened(root: Path, source="folder", **options):
    return open_source(DataOptions(source=source, root=root, **options))


def reds(source) -> list[int]:
    """The red of each image as a worker process reads it."""
    images, bad = pickle.loads(pickle.dumps(source)).read_images(range(len(source)), 8, 3, None)
    assert not bad
    return images[:, 4, 4, 0].tolist()


def refusal(root: Path, **options) -> str:
    """The one line that opening ends in."""
    with pytest.raises(UserError) as caught:
        opened(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestNames:
    @pytest.mark.parametrize("kind", ["zip", "tar"])
    @pytest.mark.parametrize("around", ["", "pets\\", ".\\", "./"])
    def test_backslashes_part_folders(self, tmp_path, kind, around):
        names = [r"pets\cat\1.png", r"pets\cat\2.png", r"pets\dog\old\3.png"]
        members = {around + name: png(i) for i, name in enumerate(names)}
        source = opened(write(tmp_path / "x", members, kind), class_folders=True)
        if around == "pets\\":
            assert source.label_names == ("pets",)
            return
        assert source.label_names == ("cat", "dog")
        assert source.labels.tolist() == [0, 0, 1]
        assert source.name(2) == "pets/dog/old/3.png"
        assert reds(source) == [0, 1, 2]

    def test_names_of_macos_are_utf8_without_a_flag_and_of_windows_cp437(self, tmp_path):
        root = write(tmp_path / "x", {"NNNN/1.png": png(0), "cat/2.png": png(1)}, "zip")
        plain = root.read_bytes()
        for name, encoding in [("\u044f\u044e", "utf-8"), ("\xe4\xf6\xfc\xe9", "cp437")]:
            root.write_bytes(plain.replace(b"NNNN", name.encode(encoding)))
            source = opened(root, class_folders=True)
            assert source.label_names == ("cat", name)
            assert reds(source) == [1, 0]

    @pytest.mark.parametrize("kind", ["zip", "tar"])
    def test_hostile_names_are_only_names(self, tmp_path, kind):
        names = ["..\\..\\up.png", "/etc/abs.png", "C:\\win.png", "\\\\server\\share.png", "..\\x"]
        source = opened(write(tmp_path / "x", {n: png(7) for n in names}, kind))
        assert [source.name(i) for i in range(4)] == [
            "../../up.png", "C:/win.png", "etc/abs.png", "server/share.png"
        ]  # fmt: skip
        assert reds(source) == [7] * 4
        assert [path.name for path in tmp_path.iterdir()] == [f"x.{kind}"]

    @pytest.mark.parametrize("kind", ["zip", "tar"])
    def test_of_a_repeated_name_the_last_counts_and_the_others_are_named(self, tmp_path, kind):
        members = {"a/1.png": png(1), "a\\1.png": png(2), "b.png": png(3)}
        source = opened(write(tmp_path / "x", members, kind))
        assert reds(source) == [2, 3]
        assert source.left_out == {"repeated name": 1}

    @pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
    def test_class_folders_without_images_are_named(self, tmp_path, kind):
        members = {"x/cat/1.png": png(0), "x/dog/1.heic": b"?", "x/elk/old/1.txt": b"?"}
        root = write(tmp_path / "r", members, kind)
        source = opened(root / "x" if kind == "folder" else root, class_folders=True)
        assert source.label_names == ("cat",)
        assert "no images in the folders dog, elk" in source.notes


class TestStyleGan:
    NAMES = tuple(f"{i // 2:05d}/img{i:08d}.png" for i in range(5))

    def pairs(self, labels: list) -> list:
        return [list(pair) for pair in zip(self.NAMES, labels, strict=True)]

    def root(self, path: Path, labels, kind="zip", around="", **others) -> Path:
        content = json.dumps({"labels": labels, **others}).encode()
        members = {around + name: png(i) for i, name in enumerate(self.NAMES)}
        return write(path / "x", {**members, around + "dataset.json": content}, kind)

    @pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
    @pytest.mark.parametrize("class_folders", [False, True])
    @pytest.mark.parametrize("around", ["", "ffhq/"])
    def test_class_numbers(self, tmp_path, kind, class_folders, around):
        numbers = [3, 0, 1, 3, 1]
        labels = self.pairs(numbers)[::-1]
        root = self.root(tmp_path, labels, kind, around)
        root = root / around if kind == "folder" else root
        source = opened(root, class_folders=class_folders)
        assert source.labels.tolist() == numbers
        assert source.labels.dtype == np.int64
        assert source.label_names == ("0", "1", "2", "3")
        assert reds(source) == [0, 1, 2, 3, 4]
        assert not source.notes and not source.left_out

    def test_classes_can_be_chosen(self, tmp_path):
        root = self.root(tmp_path, self.pairs([9, 10, 2, 9, 2]))
        source = opened(root, class_folders=True, classes=("10", "9"))
        assert source.label_names == ("9", "10")
        assert source.labels.tolist() == [0, 1, 0]
        assert reds(source) == [0, 1, 3]
        assert not source.notes, "those of other classes are there"
        assert "no class 4" in refusal(root, class_folders=True, classes=("4",))

    def test_one_hot_vectors_are_classes_and_others_of_zeros_and_ones_attributes(self, tmp_path):
        one_hot = np.eye(3)[[2, 0, 0, 1, 2]]
        source = opened(self.root(tmp_path, self.pairs(one_hot.tolist())))
        assert source.labels.tolist() == [2, 0, 0, 1, 2]
        several = one_hot.copy()
        several[3] = 1
        source = opened(self.root(tmp_path, self.pairs(several.tolist())))
        assert source.labels.dtype == np.uint8
        np.testing.assert_array_equal(source.labels, several)
        assert source.label_names == ("0", "1", "2")

    @pytest.mark.parametrize(
        ("labels", "reason"),
        [(None, "it has none"), ([[NAMES[0], [0.5, 1]], [NAMES[1], [0, 1]]], "other numbers than")],
    )
    def test_shards_are_no_classes_where_there_are_no_labels(self, tmp_path, labels, reason):
        source = opened(self.root(tmp_path, labels), class_folders=True)
        assert source.labels is None and source.label_names == ()
        assert len(source) == 5
        assert reason in source.notes[0]

    def test_images_and_labels_without_the_other_are_named(self, tmp_path):
        source = opened(self.root(tmp_path, [[self.NAMES[1], 1], ["gone.png", 0]]))
        _, bad = source.read_images(range(5), 8, 3, None)
        assert bad == dict.fromkeys([0, 2, 3, 4], "no label in dataset.json")
        assert source.labels[1] == 1
        assert source.notes == ["dataset.json labels 1 images that are not there"]

    @pytest.mark.parametrize(
        "content",
        [
            PAGE,
            b'{"labels": [["00000/img00000000.png", 0], ["0',
            b'{"labels": [["00000/img00000000.png"]]}',
            b'{"labels": [["00000/img00000000.png", 0], 7]}',
            b'{"labels": [["00000/img00000000.png", -1]]}',
            b'{"labels": [["00000/img00000000.png", 2.5]]}',
            b'{"labels": [["00000/img00000000.png", NaN]]}',
            b'{"labels": [["00000/img00000000.png", 1e999]]}',
            b'{"labels": [["00000/img00000000.png", 65536]]}',
            b'{"labels": [["00000/img00000000.png", 1' + b"0" * 400 + b"]]}",
            b'{"labels": [["00000/img00000000.png", 1' + b"0" * 9000 + b"]]}",
            b'{"labels": [["a", 0], ["00000/img00000000.png", [0, 1]]]}',
            b'{"labels": [["a", [0]], ["00000/img00000000.png", [0, 1]]]}',
            b'{"labels": [["elsewhere.png", 0]]}',
        ],
    )
    def test_damage_is_one_clear_line(self, tmp_path, content):
        members = {self.NAMES[0]: png(0), "dataset.json": content}
        assert "dataset.json" in refusal(write(tmp_path / "x", members, "zip"))

    def test_a_file_of_labels_that_is_too_long_is_not_read(self, tmp_path, monkeypatch):
        for module in ("files", "zip_files", "tar_files"):
            monkeypatch.setattr(f"dcgan.data.sources.{module}.MAX_LIST_BYTES", 20)
        for kind in ("folder", "zip", "tar"):
            root = self.root(tmp_path, [[name, 0] for name in self.NAMES], kind)
            message = refusal(root)
            assert "dataset.json" in message and "20" in message

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"[" * 100_000,
            b'{"a": 1}\n{"a": 2}\n',
            b'{"name": "pets"}',
            b'{"labels": 7}',
            b'{"labels": ["cat", "dog"]}',
            b'{"labels": [[0, 0]]}',
            b'{"labels": {"0": "cat", "1": "dog"}}',
            b'{"labels": {"cat": 0, "dog": 1}}',
            b'{"labels": [{"image": "cat/1.png", "label": 3}]}',
            b'{"labels": [["cat/1.png", "cat"], ["dog/1.png", "dog"]]}',
            b'{"labels": [["cat/1.png", true]]}',
            b'{"labels": {"cat/1.png": {"x": 1}, "dog/1.png": [[0, 1], [2, 3]]}}',
        ],
    )
    @pytest.mark.parametrize("kind", ["folder", "zip"])
    def test_a_file_of_another_program_leaves_the_folders_classes(self, tmp_path, content, kind):
        members = {"cat/1.png": png(0), "dog/1.png": png(1), "dataset.json": content}
        members["cat/dataset.json"] = b'{"labels": [["1.png", 0]]}'
        source = opened(write(tmp_path / "x", members, kind), class_folders=True)
        assert source.label_names == ("cat", "dog")
        assert source.left_out == {".json": 2}
        assert "no labels are read from dataset.json: not of StyleGAN" in source.notes

    def test_folders_that_are_no_shards_are_classes_where_there_are_no_labels(self, tmp_path):
        members = {"cat/1.png": png(0), "dog/1.png": png(1), "dataset.json": b'{"labels": null}'}
        root = write(tmp_path / "x", members, "zip")
        assert opened(root, class_folders=True).label_names == ("cat", "dog")
        source = opened(root, class_folders=True, classes=("dog",))
        assert source.label_names == ("dog",) and reds(source) == [1]
        assert "dataset.json: it has none" in source.notes[0]

    @pytest.mark.parametrize("before", ["", ".", "./."])
    @pytest.mark.parametrize("slash", ["/", "//", "\\"])
    def test_paths_are_written_in_every_way(self, tmp_path, before, slash):
        names = [f"{before}/{name}".replace("/", slash) for name in self.NAMES]
        labels = [list(pair) for pair in zip(names, [3, 0, 1, 3, 1], strict=True)]
        assert opened(self.root(tmp_path, labels)).labels.tolist() == [3, 0, 1, 3, 1]

    def test_null_stands_for_no_label(self, tmp_path):
        labels = self.pairs([3, 0, None, 1, 1])
        source = opened(self.root(tmp_path, [*labels[:4], None]))
        assert source.labels[[0, 1, 3]].tolist() == [3, 0, 1]
        _, bad = source.read_images(range(5), 8, 3, None)
        assert bad == dict.fromkeys([2, 4], "no label in dataset.json")

    def test_the_fingerprint_of_a_folder_covers_the_labels(self, tmp_path):
        root = self.root(tmp_path, [[name, 0] for name in self.NAMES], "folder")
        before = opened(root).fingerprint()
        self.root(tmp_path, [[name, 10] for name in self.NAMES], "folder")
        assert opened(root).fingerprint() != before


class TestTar:
    def test_images_are_packed_by_workers_and_others_counted(self, tmp_path):
        members = {f"./{'ab'[i % 2]}/{i:02d}.png": png(i) for i in range(40)}
        path = write(tmp_path / "x", {**members, "notes.txt": b"?", "._00.png": b"?"}, "tar")
        with tarfile.open(path, "a") as archive:
            link = tarfile.TarInfo("link.png")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
            pipe = tarfile.TarInfo("pipe.png")
            pipe.type = tarfile.FIFOTYPE
            archive.addfile(pipe)
        source = opened(path, class_folders=True)
        packed = pack(source, tmp_path / "out", 8, 3, workers=2)
        assert packed.images[:, 4, 4, 0].tolist() == [*range(0, 40, 2), *range(1, 40, 2)]
        assert packed.labels.tolist() == [0] * 20 + [1] * 20
        assert packed.meta["ignored_kinds"] == {"link, device or sparse file": 2, ".txt": 1}

    @pytest.mark.parametrize(
        "format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
    )
    def test_long_and_foreign_names_in_every_format(self, tmp_path, format):
        name = f"{'long/' * 25}caf\u00e9.png"
        with tarfile.open(tmp_path / "x.tar", "w", format=format) as archive:
            for i, member in enumerate([tarfile.TarInfo(name), tarfile.TarInfo("z.png")]):
                member.size = len(png(i))
                archive.addfile(member, io.BytesIO(png(i)))
        source = opened(tmp_path / "x.tar")
        assert [source.name(i) for i in range(2)] == [name, "z.png"]
        assert reds(source) == [0, 1]

    @pytest.mark.parametrize("ends", [0, 1, 2, 5_000])
    def test_tars_one_after_another_are_all_read(self, tmp_path, ends):
        whole = b""
        for part in range(3):
            members = {f"{part}/{i}.png": png(3 * part + i) for i in range(3)}
            content = write(tmp_path / "part", members, "tar").read_bytes()
            content = content[: -(-len(content.rstrip(b"\0")) // 512) * 512]
            whole += content + bytes(512 * ends)
        (tmp_path / "x.tar").write_bytes(whole)
        source = opened(tmp_path / "x.tar", class_folders=True)
        assert reds(source) == list(range(9))
        assert source.label_names == ("0", "1", "2")
        (tmp_path / "x.tar").write_bytes(whole + bytes(1024) + b"no tar" * 1000)
        assert reds(opened(tmp_path / "x.tar")) == list(range(9))

    def test_damage_is_one_clear_line(self, tmp_path):
        path = write(tmp_path / "x", {f"{i}.png": png(i) for i in range(5)}, "tar")
        whole = path.read_bytes()
        second = 1024  # the header of the second member
        size = b"\xff" * 12  # -1 in base 256
        for damaged in (
            whole[:2000],
            whole[:700],
            whole[:second] + b"damage" + whole[second + 6 :],
            whole[: second + 124] + size + whole[second + 136 :],
            b"",
            b"text" * 1000,
        ):
            path.write_bytes(damaged)
            assert "x.tar is not a complete tar archive" in refusal(path)

    def test_hostile_sizes_take_no_memory(self, tmp_path):
        path = write(tmp_path / "x", {"a.png": png(1), "b.png": png(2)}, "tar")
        whole = bytearray(path.read_bytes())
        header = tarfile.TarInfo("huge.png")
        header.size = 2**40
        with open(path, "r+b") as file:
            file.seek(2048)  # after the two members
            file.write(header.tobuf())
            file.truncate(2**40 + 10**4)
        source = opened(path)
        _, bad = source.read_images(range(3), 8, 3, None)
        assert bad == {2: "1,099,511,627,776 bytes, more than 268,435,456"}
        header = tarfile.TarInfo("x" * 300)
        header.size = 2**40
        block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
        block[124:136] = struct.pack(">BBBB", 0x80, 0, 0, 0) + struct.pack(">Q", 2**40)
        path.write_bytes(bytes(block[:512]) + whole)
        refusal(path)

    @pytest.mark.parametrize("kind", ["tgz", "tar.gz", "tar.bz2", "tar.xz"])
    def test_a_compressed_tar_comes_with_the_command_that_unpacks_it(self, tmp_path, kind):
        path = tmp_path / f"my pets.{kind}"
        mode = {"tgz": "gz"}.get(kind, kind[4:])
        with tarfile.open(path, f"w:{mode}") as archive:
            archive.addfile(tarfile.TarInfo("a.png"))
        unpacked = tmp_path / "my pets"
        message = refusal(path)
        assert message.endswith(f"mkdir '{unpacked}' && tar xf '{path}' -C '{unpacked}'")


class TestWrongFiles:
    @pytest.mark.parametrize(
        ("head", "message"),
        [
            (PAGE, "is a web page (HTML)"),
            (b"<html lang=en><body>Quota exceeded</body></html>", "is a web page (HTML)"),
            (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">', "is a web page (HTML)"),
            ("\ufeff<!DOCTYPE html>".encode("utf-16-le"), "is a web page (HTML)"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
            (b"Rar!\x1a\x07\x01\0", "7z x"),
            (png(0), "is an image: give the folder"),
            (b"PK\3\4 cut short", "is not a complete zip"),
            (b"name,label\n", "is no archive: a root is a folder, a zip"),
            (b"PAR1 a table", "is no archive: a root is a folder, a zip"),
            (b"\0\0\0\x18ftypheic", "is no archive: a root is a folder, a zip"),
        ],
    )
    @pytest.mark.parametrize("name", ["x.zip", "x.tar", "x"])
    def test_say_what_they_are(self, tmp_path, head, message, name):
        path = tmp_path / name
        path.write_bytes(head + bytes(100))
        if name == "x.tar" and head.startswith(b"PK"):
            return
        if name != "x" and "archive" in message:
            message = f"is not a complete {name[2:]} archive"
        found = refusal(path)
        assert message in found and str(path) in found
        if "HTML" in message:
            assert "Download the file again, in a browser" in found

    def test_images_that_are_web_pages_are_skipped_with_that_reason(self, tmp_path):
        source = opened(write(tmp_path, {"1.png": png(0), "2.jpg": PAGE}, "folder"))
        assert source.read_images([0, 1], 8, 3, None)[1] == {1: "a web page (HTML), not an image"}

    @pytest.mark.parametrize("source", ["mnist", "fashion-mnist", "cifar10", "svhn", "stl10"])
    def test_a_web_page_in_place_of_a_download_is_named(self, tmp_path, source, monkeypatch):
        def refuse(*_, **__):
            raise OSError("no network")

        monkeypatch.setattr("urllib.request.urlopen", refuse)
        names = {
            "cifar10": ["cifar-10-python.tar.gz"],
            "svhn": ["train_32x32.mat"],
            "stl10": ["stl10_binary.tar.gz"],
        }.get(source, [f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")])
        write(tmp_path, dict.fromkeys(names, PAGE), "folder")
        message = refusal(tmp_path, source=source)
        assert f"{tmp_path / names[0]} is a web page (HTML)" in message

    def test_lists_and_databases(self, tmp_path):
        members = {"img_align_celeba/000001.jpg": png(0), "list_attr_celeba.txt": PAGE}
        for kind in ("folder", "zip", "tar"):
            root = write(tmp_path / "c", members, kind)
            assert "list_attr_celeba.txt is a web page" in refusal(root, source="celeba")
        root = write(tmp_path / "l", {"cat/data.mdb": PAGE}, "folder")
        assert "data.mdb is a web page" in refusal(root, source="lsun")
        assert "data.mdb is a web page" in refusal(root / "cat", source="lsun")

    def test_methods_and_passwords_are_not_called_damage(self, tmp_path):
        path = write(tmp_path / "x", {"a.png": png(0), "b.png": png(1)}, "zip")
        data = bytearray(path.read_bytes())
        first = data.index(b"PK\1\2")
        data[first + 10] = 9
        data[data.index(b"PK\1\2", first + 1) + 8] |= 1
        path.write_bytes(data)
        _, bad = opened(path).read_images([0, 1], 8, 3, None)
        assert bad == {
            0: "compressed by Deflate64, which is not read here: unpack the zip",
            1: "encrypted: unpack the zip with its password",
        }
