"""Packed folders are complete or absent, describe what they hold, and are reproducible."""

import hashlib
import importlib
import io
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dcgan import cli
from dcgan.config import DataOptions, PrepareConfig
from dcgan.data import cache, faces, open_or_pack, open_packed, pack, parallel, prepare, rows
from dcgan.data import packing as module
from dcgan.data.sources import open_source
from dcgan.data.sources.folder import FolderFiles
from dcgan.errors import UsageError, UserError

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals only")
DAMAGED = (0, 7, 8, 299, 599)


def png(i: int) -> bytes:
    rng = np.random.default_rng(i)
    pixels = rng.integers(64, 192, (20 + i % 7, 20 + i % 5, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """600 images, many chunks, in two class folders; the five DAMAGED ones are cut short."""
    root = tmp_path_factory.mktemp("raw")
    for name in ("odd", "even"):
        (root / name).mkdir()
    for i in range(600):
        data = b"" if i in DAMAGED else png(i)
        (root / ("odd" if i % 2 else "even") / f"{i:04d}.png").write_bytes(data)
    (root / "readme.txt").write_text("not an image")
    return root


def config(raw: Path, out: Path, **options) -> PrepareConfig:
    return replace(
        PrepareConfig(source="folder", root=raw, class_folders=True, size=16, out=out), **options
    )


def expected(raw: Path) -> tuple[np.ndarray, list[int]]:
    """The rows by Pillow alone: crop, then resize."""
    images, labels = [], []
    for path in sorted(raw.rglob("*.png")):
        if path.stat().st_size:
            image = Image.open(path)
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.crop((left, top, left + side, top + side))
            images.append(np.asarray(square.resize((16, 16), Image.Resampling.LANCZOS)))
            labels.append(int(path.parent.name == "odd"))
    return np.stack(images), labels


def test_packing_writes_images_labels_and_meta(raw, tmp_path, capsys):
    packed = prepare(config(raw, tmp_path / "out", workers=1))
    images, labels = expected(raw)
    # Of this contrast Pillow clips nothing between its two passes; it rounds elsewhere.
    np.testing.assert_allclose(packed.images.astype(int), images, atol=2)
    assert packed.labels.tolist() == labels
    assert packed.label_names == ("even", "odd")
    assert packed.images.shape == (595, 16, 16, 3)
    assert len(packed) == 595
    assert (packed.size, packed.channels) == (16, 3)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "images.npy"), packed.images)

    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert (meta["found"], meta["packed"], meta["ignored"]) == (600, 595, 1)
    assert meta["ignored_kinds"] == {".txt": 1}
    assert meta["skipped"][0] == {"name": "even/0000.png", "reason": "empty file"}
    assert [Path(one["name"]).stem for one in meta["skipped"]] == [
        "0000", "0008", "0007", "0299", "0599"
    ]  # fmt: skip
    assert meta["crop"] is None
    assert meta["filter"] == "lanczos"
    assert meta["recipe"] == module.DECODING_VERSION
    assert meta["source"] == "folder"
    whole = b"".join((packed.folder / name).read_bytes() for name in ("images.npy", "labels.npy"))
    assert meta["sha256"] == packed.fingerprint == hashlib.sha256(whole).hexdigest()
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    shown = capsys.readouterr()
    assert "packed 595 of 600 images" in shown.err
    assert "skipped 5: even/0000.png" in shown.err
    assert "left out .txt: 1" in shown.err
    assert "packing: 600/600 img in 0" in shown.err
    assert not shown.out


def test_the_result_does_not_depend_on_the_number_of_workers(raw, tmp_path):
    folders = [prepare(config(raw, tmp_path / str(n), workers=n)).folder for n in (1, 2)]
    for name in ("images.npy", "labels.npy", "meta.json"):
        first, second = ((folder / name).read_bytes() for folder in folders)
        assert first == second


def test_workers_do_not_start_threads_of_their_own(raw, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    source = ThreadsOfBlas(open_source(DataOptions(source="folder", root=raw)))
    packed = pack(source, tmp_path / "out", 16, 3, workers=2)
    assert (packed.images == 1).all()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"


def test_packing_does_not_need_torch():
    code = "import sys, dcgan.data.packing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_grey_without_labels_and_with_a_crop(raw, tmp_path):
    options = config(raw / "odd", tmp_path / "out", class_folders=False, channels=1, crop=16)
    packed = prepare(options)
    expected = []
    for path in sorted((raw / "odd").glob("*.png")):
        if path.stat().st_size:
            image = Image.open(path).convert("L")
            left, top = (image.width - 16) // 2, (image.height - 16) // 2
            expected.append(np.asarray(image.crop((left, top, left + 16, top + 16))))
    np.testing.assert_array_equal(packed.images[..., 0], np.stack(expected))
    assert packed.images.shape[1:] == (16, 16, 1)
    assert packed.labels is None
    assert packed.meta["crop"] == 16
    assert not (tmp_path / "out" / "labels.npy").exists()


def test_packed_faces_have_attributes(tmp_path):
    out = tmp_path / "out"
    packed = prepare(PrepareConfig(source="faces", count=5, size=32, out=out, workers=2))
    np.testing.assert_array_equal(packed.images, faces.render(range(5), 32).images.numpy())
    np.testing.assert_array_equal(packed.labels, faces.sample_attributes(range(5)).numpy())
    assert packed.label_names == faces.ATTRIBUTES
    assert packed.meta["label_kind"] == "attributes"
    assert packed.meta["root"] is None


def test_file_names_that_are_not_unicode_are_escaped_in_meta_json(tmp_path, capsys):
    name = os.fsdecode(b"\xff\n.jpg") if sys.platform == "linux" else "\u00e9.jpg"
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "ok.png").write_bytes(png(0))
    (tmp_path / "raw" / name).write_bytes(b"")
    options = config(tmp_path / "raw", tmp_path / "out", class_folders=False, max_bad=0.5)
    skipped = prepare(options).meta["skipped"][0]["name"]
    assert skipped.isprintable()
    assert skipped.encode()
    assert skipped in capsys.readouterr().err


def encoded(format: str, mode: str = "RGB", shape=(24, 20), **options) -> bytes:
    file = io.BytesIO()
    Image.new(mode, shape, 200 if mode in ("1", "L", "P", "I;16") else "red").save(
        file, format, **options
    )
    return file.getvalue()


def grey_png(side: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG whose header may declare more pixels than it has, with valid checksums."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [(b"IHDR", header), *chunks, (b"IEND", b"")]
    )


TURNED = Image.Exif()
TURNED[0x0112] = 6
UNUSUAL = {
    "zlib.png": grey_png(
        1, (b"zTXt", b"x\0\0" + zlib.compress(bytes(10**8))), (b"IDAT", zlib.compress(b"\0\7"))
    ),
    "1x1.png": encoded("PNG", shape=(1, 1)),
    "16-bit.png": encoded("PNG", "I;16"),
    "alpha.png": encoded("PNG", "RGBA"),
    "animated.gif": encoded("GIF", save_all=True, append_images=[Image.new("RGB", (24, 20))]),
    "caf\u00e9 \u6f22\n\u202e.jpg": encoded("JPEG"),
    "cmyk.jpg": encoded("JPEG", "CMYK"),
    "palette.png": encoded("PNG", "P"),
    "turned.jpg": encoded("JPEG", exif=TURNED),
    "wrong-extension.jpg": encoded("WEBP"),
}
HOSTILE = {  # content, and the reason for skipping it
    "bomb.png": (grey_png(50_000, (b"IDAT", zlib.compress(bytes(9)))), "pixels"),
    "empty.jpg": (b"", "empty file"),
    "text\x1b[31m.png": (b"dear diary", "not an image"),
    "truncated.jpg": (encoded("JPEG")[:500], "Truncated"),
}


@posix
class TestHostileFolders:
    """Hostile files through the command line: each is packed, or skipped with a reason."""

    def folder(self, root: Path) -> Path:
        for name, data in UNUSUAL.items():
            (root / name).write_bytes(data)
        for name, (data, _) in HOSTILE.items():
            (root / name).write_bytes(data)
        (root / "folder.jpg").mkdir()
        (root / "loop.jpg").symlink_to("loop.jpg")
        (root / "around").symlink_to(".")
        (root / "endless.jpg").symlink_to("/dev/zero")
        os.mkfifo(root / "pipe.jpg")
        return root

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_every_skipped_file_has_its_reason_in_meta_json(
        self, tmp_path, capfd, workers, monkeypatch
    ):
        (tmp_path / "raw").mkdir()
        monkeypatch.chdir(tmp_path / "raw")
        monkeypatch.setattr(module.Source, "chunk", 8)
        root, out = self.folder(tmp_path / "raw"), tmp_path / "out"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket.jpg")
            flags = ["folder", "--root", str(root), "--out", str(out), "--size", "16"]
            flags += ["--workers", workers, "--max-bad"]
            assert cli.main(["prepare", *flags, "0.1"]) == 1
            assert [path.name for path in tmp_path.iterdir()] == ["raw"]
            assert cli.main(["prepare", *flags, "0.9"]) == 0
        meta = json.loads((out / "meta.json").read_text())
        reasons = {one["name"]: one["reason"] for one in meta["skipped"]}
        assert meta["packed"] == len(UNUSUAL) == len(open_packed(out))
        expected = {name.replace("\x1b", "\\x1b"): reason for name, (_, reason) in HOSTILE.items()}
        expected |= dict.fromkeys(["pipe.jpg", "socket.jpg", "endless.jpg"], "not a regular file")
        expected["loop.jpg"] = "symbolic links"
        assert list(reasons) == sorted(expected)
        for name, reason in expected.items():
            assert reason in reasons[name], name
        shown = capfd.readouterr()
        assert "Traceback" not in shown.err
        assert shown.out == f"{out}\n"
        assert cli.main(["prepare", *flags, "0.9"]) == 1, "it is there already"
        assert "is not overwritten" in capfd.readouterr().err

    def test_files_replaced_after_listing_are_read_as_they_are_or_skipped(
        self, tmp_path, monkeypatch
    ):
        names = ["0", "another", "cut", "folder", "gone", "link", "pipe", "unlike"]
        root = tmp_path / "raw"
        root.mkdir()
        for name in names:
            (root / f"{name}.png").write_bytes(encoded("PNG", shape=(16, 16)))

        def open_after_that(files, first):
            monkeypatch.undo()
            for name in names[1:]:
                (root / f"{name}.png").unlink()
            (root / "another.png").write_bytes(encoded("JPEG", "L", shape=(9, 9)))
            (root / "cut.png").write_bytes(encoded("PNG")[:60])
            (root / "folder.png").mkdir()
            (root / "link.png").symlink_to("nowhere")
            os.mkfifo(root / "pipe.png")
            (root / "unlike.png").write_bytes(b"text")
            return files._open_file(first)

        options = config(root, tmp_path / "out", class_folders=False, max_bad=0.9, workers=1)
        source = open_source(options)
        monkeypatch.setattr(FolderFiles, "_open_file", open_after_that)
        packed = pack(source, options.out, 16, 3, max_bad=0.9, workers=1)
        reasons = {one["name"][:-4]: one["reason"] for one in packed.meta["skipped"]}
        assert list(reasons) == ["cut", "folder", "gone", "link", "pipe", "unlike"]
        assert packed.images[:, 8, 8].tolist() == [[255, 0, 0], [200, 200, 200]]
        assert reasons["folder"] == reasons["pipe"] == "not a regular file"
        assert (reasons["gone"], reasons["link"]) == ("no longer there", "broken link")


class TestMaxBad:
    def test_too_many_bad_images_stop_packing_and_leave_nothing(self, raw, tmp_path):
        for workers in (1, 2):
            with pytest.raises(UserError, match=r"of 600 allows: .*\(empty file\)") as caught:
                prepare(config(raw, tmp_path / "out", max_bad=0.004, workers=workers))
            assert "--max-bad 0.004" in str(caught.value)
        assert not list(tmp_path.iterdir())

    def test_the_images_read_so_far_are_counted_without_a_progress_bar(self, raw, tmp_path):
        source = open_source(config(raw, tmp_path / "out"))
        with pytest.raises(UserError, match=r"^2 of 32 images cannot"):
            pack(source, tmp_path / "out", 16, 3, max_bad=0, workers=1, progress=False)

    def test_a_share_equal_to_max_bad_is_allowed(self, raw, tmp_path):
        assert len(prepare(config(raw, tmp_path / "out", max_bad=5 / 600))) == 595

    def test_a_source_without_readable_images_is_an_error_for_any_max_bad(self, tmp_path):
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "a.png").write_bytes(b"")
        with pytest.raises(UserError, match=r"none of the 1 images can be read: a.png"):
            prepare(config(tmp_path / "raw", tmp_path / "out", class_folders=False, max_bad=1))
        assert [path.name for path in tmp_path.iterdir()] == ["raw"]


class TestOutput:
    def test_nothing_is_overwritten(self, raw, tmp_path):
        out = prepare(config(raw, tmp_path / "out")).folder
        before = (out / "meta.json").read_bytes()
        with pytest.raises(UserError, match="packed folder already"):
            prepare(config(raw, out, size=32))
        assert (out / "meta.json").read_bytes() == before
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "diary.txt").write_text("dear")
        (tmp_path / "file").write_text("")
        for name in ("mine", "file"):
            with pytest.raises(UserError, match="exists already"):
                prepare(config(raw, tmp_path / name))
        assert (tmp_path / "mine" / "diary.txt").read_text() == "dear"

    def test_an_empty_folder_is_filled_and_missing_ones_are_made(self, raw, tmp_path):
        (tmp_path / "empty").mkdir()
        assert len(prepare(config(raw, tmp_path / "empty"))) == 595
        assert len(prepare(config(raw, tmp_path / "a" / "b" / "c"))) == 595

    def test_a_full_disk_is_an_error_before_any_image_is_read(self, raw, tmp_path, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: (10**9, 10**9 - 1000, 1000))
        monkeypatch.setattr(parallel.PackingJob, "write", lambda *_: pytest.fail("it was read"))
        with pytest.raises(UserError, match=r"only .* kB are free"):
            prepare(config(raw, tmp_path / "out"))

    def test_a_disk_error_during_packing_is_one_clear_line(self, raw, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(parallel, "write_rows", full)
        with pytest.raises(UserError, match=r"cannot write .*No space left"):
            prepare(config(raw, tmp_path / "out", workers=1))
        assert not list(tmp_path.iterdir())

    def test_invalid_options_are_refused(self, raw, tmp_path):
        for options in [
            {"max_bad": 1.5}, {"max_bad": float("nan")}, {"crop": 0}, {"crop": -5}, {"workers": 0}
        ]:  # fmt: skip
            with pytest.raises(UsageError, match="--"):
                prepare(config(raw, tmp_path / "out", **options))


class TestInterrupted:
    SLOW = """
import time
from dcgan.data.sources import folder

class Slow(folder.FolderFiles):
    def open(self, i):
        time.sleep(0.05)
        return super().open(i)
"""
    SCRIPT = """
import sys
from pathlib import Path
import slow
from dcgan.config import PrepareConfig
from dcgan.data import packing

slow.folder.FolderFiles = slow.Slow
root, out, workers = sys.argv[1:]
options = dict(source="folder", root=Path(root), out=Path(out), size=16)
packing.prepare(PrepareConfig(**options, workers=int(workers)))
"""

    BY_COMMAND = SCRIPT.replace(
        "packing.prepare(PrepareConfig(**options, workers=int(workers)))",
        "from dcgan import cli\n"
        "flags = ['--root', root, '--out', out, '--size', '16', '--workers', workers]\n"
        "sys.exit(cli.main(['prepare', 'folder', *flags]))",
    )

    def started(self, raw, tmp_path, workers, wait=1.0, script=SCRIPT) -> subprocess.Popen:
        """A real packing process, caught while images.npy is being written."""
        (tmp_path / "slow.py").write_text(self.SLOW)
        (tmp_path / "script.py").write_text(script)
        out = tmp_path / "packed" / "out"
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "script.py"), str(raw), str(out), str(workers)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        deadline = time.monotonic() + 30
        while not list(out.parent.glob(".out*/images.npy")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(wait)
        return process

    @posix
    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_kill_leaves_no_finished_folder_and_no_process(self, raw, tmp_path, workers):
        with self.started(raw, tmp_path, workers) as process:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            # The pipe closes when the last worker is gone.
            assert process.communicate(timeout=15)
        assert not (tmp_path / "packed" / "out").exists()
        options = config(raw, tmp_path / "packed" / "out", workers=1)
        assert len(prepare(options)) == 595

    @posix
    @pytest.mark.parametrize(("workers", "wait"), [(1, 0.5), (2, 0.1), (2, 1.5)])
    def test_ctrl_c_leaves_no_files(self, raw, tmp_path, workers, wait):
        """At the start of the workers and while they work."""
        with self.started(raw, tmp_path, workers, wait) as process:
            os.killpg(process.pid, signal.SIGINT)
            _, shown = process.communicate(timeout=40)
        assert process.returncode != 0
        assert shown.count(b"Traceback") == 1
        assert b"KeyboardInterrupt" in shown
        assert not list((tmp_path / "packed").iterdir())

    @posix
    @pytest.mark.parametrize("workers", [1, 2])
    @pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
    def test_a_signal_to_the_command_leaves_no_files(self, raw, tmp_path, workers, signum, code):
        with self.started(raw, tmp_path, workers, 0.5, self.BY_COMMAND) as process:
            process.send_signal(signum)
            _, shown = process.communicate(timeout=40)
        assert process.returncode == code
        assert b"Traceback" not in shown
        assert not list((tmp_path / "packed").iterdir())

    def test_a_worker_that_crashes_is_one_clear_line(self, raw, tmp_path):
        source = Deadly(open_source(DataOptions(source="folder", root=raw)))
        with pytest.raises(UserError) as caught:
            pack(source, tmp_path / "out", 16, 3, workers=2)
        assert str(caught.value) == "a packing process failed: it was ended by exit code 9"
        assert not list(tmp_path.iterdir())

    @posix
    def test_only_a_worker_that_is_killed_may_have_filled_the_memory(self, raw, tmp_path):
        source = Killed(open_source(DataOptions(source="folder", root=raw)))
        reason = "a packing process failed: it was ended by SIGKILL, perhaps because memory is full"
        with pytest.raises(UserError, match=reason):
            pack(source, tmp_path / "out", 16, 3, workers=2)
        assert not list(tmp_path.iterdir())

    def test_a_worker_that_cannot_import_the_source_says_so(self, raw, tmp_path, monkeypatch):
        (tmp_path / "own.py").write_text(
            "from dcgan.data.sources.folder import FolderFiles\nclass Own(FolderFiles): pass\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        source = importlib.import_module("own").Own(raw)
        (tmp_path / "own.py").unlink()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        reason = r"a packing process failed: it could not start \(ModuleNotFoundError: .*'own'"
        with pytest.raises(UserError, match=reason):
            pack(source, tmp_path / "out", 16, 3, workers=2)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("workers", [1, 2])
    def test_an_unexpected_exception_is_raised_and_not_counted_as_a_bad_image(
        self, raw, tmp_path, workers
    ):
        source = Buggy(open_source(DataOptions(source="folder", root=raw)))
        with pytest.raises(ZeroDivisionError) as caught:
            pack(source, tmp_path / "out", 16, 3, workers=workers)
        where = [*map(str, traceback.format_exception(caught.value))]
        assert "return 1 / 0" in "".join(where)
        assert not list(tmp_path.iterdir())


class Wrapped(module.Source):
    def __init__(self, source):
        super().__init__()
        self.source = source

    def __len__(self):
        return len(self.source)

    def name(self, i):
        return self.source.name(i)


class ThreadsOfBlas(Wrapped):
    """Images whose pixels are the number of threads that BLAS may use."""

    def read_images(self, indices, size, channels, *_):
        value = int(os.environ.get("OPENBLAS_NUM_THREADS", 0))
        return np.full((len(indices), size, size, channels), value, np.uint8), {}


class Deadly(Wrapped):
    def read_images(self, *_):
        os._exit(9)


class Killed(Wrapped):
    def read_images(self, *_):
        os.kill(os.getpid(), signal.SIGKILL)


class Buggy(Wrapped):
    def read_images(self, *_):
        return 1 / 0


class TestFromScripts:
    """Worker processes do not run the program again that packs, whatever kind it is."""

    SCRIPT = """
import os, sys
from pathlib import Path
from dcgan.config import DataOptions
from dcgan.data import packing
from dcgan.data.sources import open_source

print("run by", "the parent" if os.environ.get("PARENT") == str(os.getppid()) else "a worker")
source = open_source(DataOptions(source="folder", root=Path(os.environ["RAW"])))
"""
    PACK = "print(len(packing.pack(source, Path('out'), 16, 3, workers=2)))\n"
    OWN = (
        "import dcgan.data.sources.folder\n"
        "class Own(dcgan.data.sources.folder.FolderFiles): pass\n"
        "source.__class__ = Own\n" + PACK
    )
    IN_A_THREAD = f"""
import threading
thread = threading.Thread(target=lambda: {PACK.strip()})
thread.start()
thread.join()
"""
    IN_A_DAEMON = f"""
import multiprocessing
process = multiprocessing.get_context("fork").Process(target=lambda: {PACK.strip()}, daemon=True)
process.start()
process.join()
"""

    def packed(self, raw, tmp_path, command, **options) -> str:
        toolkit = str(Path(__file__).parents[2])
        environment = {"PYTHONPATH": toolkit, "RAW": str(raw), "PARENT": str(os.getpid())}
        done = subprocess.run(
            [sys.executable, *command], env=os.environ | environment, cwd=tmp_path,
            capture_output=True, text=True, timeout=60, **options,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert not [line for line in done.stderr.splitlines() if "Error" in line]
        return done.stdout

    @pytest.mark.parametrize("rest", ["PACK", "OWN", "IN_A_THREAD", "IN_A_DAEMON"])
    def test_a_script_without_a_main_guard(self, raw, tmp_path, rest):
        (tmp_path / "script.py").write_text(self.SCRIPT + getattr(self, rest))
        shown = self.packed(raw, tmp_path, ["script.py"])
        assert shown == "run by the parent\n595\n"

    @pytest.mark.parametrize(("command", "by_stdin"), [(["-"], True), (["-m", "script"], False)])
    def test_standard_input_and_a_module(self, raw, tmp_path, command, by_stdin):
        script = self.SCRIPT + self.PACK
        (tmp_path / "script.py").write_text(script)
        shown = self.packed(raw, tmp_path, command, input=script if by_stdin else None)
        assert shown == "run by the parent\n595\n"

    def test_the_main_module_is_as_before(self, raw, tmp_path):
        main = vars(sys.modules["__main__"])
        before = main.copy()
        pack(open_source(DataOptions(source="folder", root=raw)), tmp_path / "out", 16, 3)
        assert main == before


@given(st.lists(st.booleans(), min_size=1, max_size=40).filter(any), st.integers(1, 40))
def test_keep_rows_keeps_the_good_rows_in_order(tmp_path_factory, good, block):
    array = tmp_path_factory.mktemp("rows") / "images.npy"
    images = np.arange(len(good) * 12, dtype=np.uint8).reshape(-1, 2, 2, 3)
    rows.create_array(array, images.shape)
    rows.write_rows(array, 0, images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_BLOCK_BYTES", block)
        rows.keep_rows(array, np.flatnonzero(good), (2, 2, 3))
    np.testing.assert_array_equal(np.load(array), images[good])
    assert array.stat().st_size == 128 + 12 * sum(good)


class TestOpenOrPack:
    OPTIONS = DataOptions(source="folder", workers=1)

    def test_the_second_call_opens_what_the_first_packed(self, raw, tmp_path, capsys, monkeypatch):
        options = replace(self.OPTIONS, root=raw)
        first = open_or_pack(options, 16, 3, tmp_path)
        assert first.folder.name.startswith("folder-16-")
        assert first.folder.parent == tmp_path
        monkeypatch.setattr(module, "pack", lambda *_: pytest.fail("packed again"))
        second = open_or_pack(options, 16, 3, tmp_path)
        assert second.folder == first.folder
        assert second.fingerprint == first.fingerprint
        assert f"using the packed images in {first.folder}" in capsys.readouterr().err

    def test_every_setting_that_changes_the_content_changes_the_folder(self, tmp_path, monkeypatch):
        root = tmp_path / "raw" / "a"
        root.mkdir(parents=True)
        (root / "0.png").write_bytes(png(0))
        base = replace(self.OPTIONS, root=root.parent)
        faces = DataOptions(source="faces", count=2)
        calls = [
            (base, 16, 3),
            (base, 32, 3),
            (base, 16, 1),
            (replace(base, crop=8), 16, 3),
            (replace(base, class_folders=True), 16, 3),
            (replace(base, class_folders=True, classes=("a",)), 16, 3),
            (replace(base, root=root), 16, 3),
            (replace(base, split="all"), 16, 3),
            (faces, 16, 3),
            (replace(faces, count=3), 16, 3),
            (replace(faces, split="valid"), 16, 3),
        ]
        folders = {open_or_pack(*call, tmp_path / "cache").folder for call in calls}
        os.utime(root / "0.png", ns=(1, 1))
        folders.add(open_or_pack(*calls[0], tmp_path / "cache").folder)
        assert len(folders) == len(calls) + 1
        monkeypatch.setattr(cache, "DECODING_VERSION", cache.DECODING_VERSION + 1)
        assert open_or_pack(*calls[0], tmp_path / "cache").folder not in folders
        monkeypatch.undo()
        same = [(replace(base, workers=3), 16, 3), (replace(base, max_bad=0.5), 16, 3)]
        assert {open_or_pack(*call, tmp_path / "cache").folder for call in same} < folders

    def test_of_two_processes_the_later_one_uses_the_folder_of_the_earlier_one(
        self, raw, tmp_path, monkeypatch
    ):
        options = replace(self.OPTIONS, root=raw)

        def race(*arguments, **options):
            monkeypatch.undo()
            monkeypatch.setattr(module, "content_hash", lambda _: winner() or "loser")
            return pack(*arguments, **options)

        def winner():
            monkeypatch.undo()
            folder = open_or_pack(options, 16, 3, tmp_path / "winner").folder
            folder.rename(tmp_path / "cache" / folder.name)

        monkeypatch.setattr(module, "pack", race)
        packed = open_or_pack(options, 16, 3, tmp_path / "cache")
        assert packed.fingerprint != "loser"
        assert list((tmp_path / "cache").iterdir()) == [packed.folder]


class TestDamaged:
    @pytest.fixture
    def folder(self, raw, tmp_path) -> Path:
        return prepare(config(raw, tmp_path / "out", workers=1)).folder

    @pytest.mark.parametrize("name", ["images.npy", "labels.npy", "meta.json"])
    def test_web_pages_in_the_place_of_files_are_named(self, folder, name):
        (folder / name).write_bytes(b"<!DOCTYPE html><html></html>")
        with pytest.raises(UserError, match=rf"out/{name} is a web page \(HTML\)"):
            open_packed(folder)

    @pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
    def test_damaged_arrays_are_refused(self, folder, name):
        path = folder / name
        whole = path.read_bytes()
        array = np.load(path)
        wrong = [array.astype(np.float32), array[1:], array[:0], np.array([{}, None], object)]
        wrong += [np.asfortranarray(array)] if array.ndim > 1 else [array[:, None]]
        endless = io.BytesIO()
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**30, 16, 16, 3)}
        np.lib.format.write_array_header_1_0(endless, header)
        damaged = [endless.getvalue()]
        damaged += [b"", whole[:50], whole[:200], whole[:-1], whole + b"x", b"\x93NUMPY" + whole]
        for array in wrong:
            file = io.BytesIO()
            np.save(file, array)
            damaged.append(file.getvalue())
        for data in damaged:
            path.write_bytes(data)
            with pytest.raises(UserError, match=r"out is damaged: .*pack the images again"):
                open_packed(folder)
        path.unlink()
        with pytest.raises(UserError, match=f"{name} is missing"):
            open_packed(folder)

    def test_labels_without_a_name_are_refused(self, folder):
        labels = np.load(folder / "labels.npy")
        for value in (2, -1):
            labels[3] = value
            np.save(folder / "labels.npy", labels)
            with pytest.raises(UserError, match="labels without a name"):
                open_packed(folder)

    def test_damaged_meta_json_is_refused(self, folder):
        path = folder / "meta.json"
        meta = json.loads(path.read_text())
        hostile = [
            *[{**meta, key: None} for key in ("size", "packed", "sha256", "skipped", "format")],
            *[{**meta, "size": value} for value in (32, "16", True, 16.0, [16], -16)],
            *[{**meta, "label_names": value} for value in ("eo", [1, 2], ["even"], {})],
            *[{**meta, "label_kind": value} for value in ("attributes", "x", ["class"], 0)],
            *[{k: v for k, v in meta.items() if k != key} for key in ("label_kind", "notes")],
            {**meta, "format": 2}, [], 3, "text", None,
        ]  # fmt: skip
        texts = [json.dumps(value) for value in hostile]
        for text in [*texts, "", "{", "[" * 100_000, "\0"]:
            path.write_text(text)
            with pytest.raises(UserError, match="is damaged") as caught:
                open_packed(folder)
            assert "\n" not in str(caught.value)
        path.write_bytes(b"\xff\xfe{}")
        with pytest.raises(UserError, match="is damaged"):
            open_packed(folder)

    def test_other_folders_are_refused(self, tmp_path):
        with pytest.raises(UserError, match="does not exist"):
            open_packed(tmp_path / "none")
        with pytest.raises(UserError, match="is not a packed folder"):
            open_packed(tmp_path)

    def test_packed_images_are_read_only(self, folder):
        packed = open_packed(folder)
        with pytest.raises(ValueError, match="read-only"):
            packed.images[0] = 0


def test_a_folder_of_packed_folders_names_them(packed):
    with pytest.raises(UserError, match=r"packed folder: name one of those in it: noise$"):
        open_packed(packed.folder.parent)
