"""What the doctor finds, and that it leaves nothing behind."""

import dataclasses
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan import cli
from dcgan.data import faces, open_or_pack, open_packed, row_reader
from dcgan.data.sources import Subset, open_source
from dcgan.reports import disk_space, doctor, preflight
from dcgan.runs.checkpoint_folder import latest_checkpoint
from dcgan.training import loop, preparation
from dcgan.training.periodic_evaluation import Evaluator
from dcgan.training.trainer import Trainer
from tests.conftest import write_packed

pytestmark = pytest.mark.usefixtures("windows_files")

QUICK = ["--width", "4", "--batch-size", "8", "--device", "cpu", "--workers", "1"]


@pytest.fixture
def consult(tmp_path, monkeypatch, capsys):
    """`consult(words)`: exit code, what stdout says by topic, and stderr; in an empty folder."""
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(preflight, "_TIMED_SECONDS", 0)

    def consulting(*words):
        code = cli.main(["doctor", *map(str, words), *QUICK])
        out, err = capsys.readouterr()
        assert not any(home.iterdir()) and not any(scratch.glob("dcgan*")), "nothing stays"
        topics = {}
        for line in out.splitlines():
            topics.setdefault(line[:10].strip(), []).append(line[11:])
        return code, topics, err

    return consulting


@pytest.fixture
def folder(tmp_path):
    """40 drawn faces as files of two classes."""
    for i, image in enumerate(faces.render(range(40), 32).images.numpy()):
        path = tmp_path / "raw" / ("a" if i < 30 else "b") / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "raw"


def test_a_healthy_folder_is_fit_to_train(consult, folder):
    code, said, err = consult("folder", "--root", folder, "--size", 16, "--class-folders")
    assert (code, err) == (0, "")
    assert said["data"] == ["40 images of folder"]
    assert said["sizes"] == ["all 32 x 32 pixels"]
    assert said["modes"] == ["RGB 40"]
    for topic in ("broken", "constant", "copies", "look-alike"):
        assert said[topic] == ["none"]
    assert said["labels"] == ["2, from 25.0% (b) to 75.0% (a)"]
    assert said["resume"] == ["bit for bit"]
    assert {"steps", "speed", "whole run", "memory", "disk"} <= set(said)
    assert "fit to tra" in said


def test_damaged_and_odd_files_are_counted_and_named(consult, folder):
    (folder / "a" / "90.png").write_bytes(b"no picture")
    Image.new("L", (8, 20), 7).save(folder / "a" / "91.png")
    (folder / "a" / "92.png").write_bytes((folder / "a" / "03.png").read_bytes())
    with Image.open(folder / "a" / "04.png") as image:
        image.save(folder / "a" / "93.jpg", quality=85)
    code, said, err = consult("folder", "--root", folder, "--size", 16)
    assert code == 1
    assert err.startswith("dcgan: not fit to train: 2.3% of the images cannot be read")
    assert err.count("\n") == 1
    assert said["broken"] == ["1 of 44"]
    assert said[""] == ["a/90.png: not an image (JPEG, PNG, WEBP, BMP, TIFF, GIF, PPM)"]
    assert said["sizes"][0] == "from 8 x 20 to 32 x 32 pixels, median 32 x 32"
    assert "1 smaller than --size 16" in said["sizes"][1]
    assert "1 lose more than a third" in said["sizes"][2]
    assert said["modes"] == ["RGB 42, L 1"]
    for topic in ("constant", "copies", "look-alike"):
        assert said[topic] == ["1 of 43"], topic
    assert consult("folder", "--root", folder, "--size", 16, "--max-bad", 0.1)[0] == 0


def test_files_that_are_left_out_are_named_also_once_packed(consult, folder, tmp_path, capsys):
    for i in range(20):
        (folder / f"{i}.HEIC").write_bytes(b"a telephone's picture")
    left_out = ["left out .heic: 20 (not read here: convert them to PNG or JPEG)"]
    words = ("folder", "--root", folder, "--size", 16)
    assert consult(*words)[1]["note"] == left_out
    assert cli.main(["prepare", *map(str, words), "--out", str(tmp_path / "packed")]) == 0
    assert left_out[0] in capsys.readouterr().err.splitlines()
    assert consult(tmp_path / "packed")[1]["note"] == left_out


def test_a_packed_folder_is_checked_and_tried(consult, packed):
    code, said, err = consult(packed.folder)
    assert (code, err) == (0, "")
    assert said["data"] == [f"50 images of 16x16x3, packed in {packed.folder}"]
    assert "0 kB to pack" in said["disk"][0]


def test_of_large_data_a_random_subset_is_checked(consult, packed, monkeypatch):
    monkeypatch.setattr(doctor, "_MAX_IMAGES", 20)
    _, said, _ = consult("faces", "--count", 10**6, "--size", 16)
    assert said["data"] == ["1,000,000 images of faces; checked 20 of them, chosen at random"]
    assert "about" in said["whole run"][0].split("pack")[0]
    monkeypatch.setattr(doctor, "_MAX_BYTES", 16 * 16 * 3 * 12)
    assert len(doctor._choose_random(50, loop.TrainConfig(size=16))) == 12


def test_mostly_copies_are_not_fit_to_train(consult, folder):
    for i in range(60):
        (folder / "a" / f"copy{i}.png").write_bytes((folder / "a" / "00.png").read_bytes())
    code, said, err = consult("folder", "--root", folder, "--size", 16)
    assert (code, said["copies"]) == (1, ["60 of 100"])
    assert "60% of the images are copies" in err


def test_images_of_a_single_colour_are_not_fit_to_train(consult, tmp_path):
    colours = np.arange(40, dtype=np.uint8)[:, None, None, None]
    packed = write_packed(tmp_path / "flat", np.broadcast_to(colours, (40, 16, 16, 3)).copy())
    code, said, err = consult(packed)
    assert (code, said["constant"], said["look-alike"]) == (1, ["40 of 40"], ["none"])
    assert "100% of the images are a single colour" in err


def test_a_resume_that_is_not_exact_is_reported(consult, packed, monkeypatch):
    load = Trainer.load

    def forgetful(self, state):
        load(self, state)
        for moments in self.opt_G.state.values():
            moments["exp_avg_sq"].zero_()

    monkeypatch.setattr(Trainer, "load", forgetful)
    code, said, err = consult(packed.folder)
    assert (code, said["resume"]) == (1, ["differs from a run without a stop"])
    assert "a resumed run differs" in err


@pytest.mark.parametrize("error", [RuntimeError, torch.OutOfMemoryError, MemoryError])
def test_a_step_that_fails_is_one_line(consult, packed, monkeypatch, error):
    def refuse(*_):
        raise error("out of memory: 7 GB\nand much more")

    monkeypatch.setattr(Trainer, "d_step", refuse)
    code, _, err = consult(packed.folder)
    assert code == 1
    assert err == "dcgan: not fit to train: a step fails (out of memory: 7 GB)\n"


def test_divergence_is_one_line_that_names_no_deleted_files(consult, packed):
    code, _, err = consult(packed.folder, "--gradient-penalty", "1e30", "--lr-D", "0.9")
    assert code == 1
    said = "D is not finite in step 1. Try a lower --lr-G and --lr-D"
    assert err == f"dcgan: not fit to train: {said}\n"


def test_patience_does_not_end_the_preflight_run(consult, packed, monkeypatch):
    scores = {"frechet": 1.0}
    monkeypatch.setattr(Evaluator, "scores", lambda self, G: scores)
    code, said, err = consult(packed.folder, "--eval-every", "1", "--patience", "1", "--steps", "7")
    assert (code, err, said["resume"]) == (0, "", ["bit for bit"])
    assert said["whole run"][0].endswith(" s, beside its 7 evaluations"), "they are not timed"


def test_the_best_checkpoint_is_counted(tiny, run):
    config = tiny(steps=10, save_every=10)
    last = latest_checkpoint(run)
    without = disk_space.estimate_run_size(config, 0, run, last.step)
    config = dataclasses.replace(config, eval_every=5)
    size = disk_space.estimate_run_size(config, 0, run, last.step)
    assert size - without == last.path.stat().st_size


def test_a_full_disk_is_reported(consult, packed, monkeypatch):
    monkeypatch.setattr(disk_space, "_free_bytes", lambda _: 10_000)
    code, _, err = consult(packed.folder)
    assert code == 1
    assert f"the disk of {Path.cwd()} has 10 kB free" in err


def test_a_run_folder_that_cannot_be_written_is_reported(consult, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, *_: Path(path) != tmp_path)  # root may write
    code, _, err = consult("--data", packed.folder, "--out", tmp_path / "run")
    assert (code, err.count("\n")) == (1, 1)
    assert f"cannot write {tmp_path / 'run'}" in err


def test_each_disk_is_compared_with_what_will_be_written_to_it(consult, folder, monkeypatch):
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == Path.cwd().stat().st_dev:
        pytest.skip("needs a second file system")
    words = ("folder", "--root", folder, "--size", 16, "--data-cache", other / "no-such-folder")
    monkeypatch.setattr(disk_space, "_free_bytes", lambda at: 10_000 if at == other else 10**12)
    code, said, err = consult(*words)
    assert code == 1 and "the disk of /dev/shm has 10 kB free, and 30.7 kB are needed" in err
    assert said["disk"][0].endswith("1 TB and 10 kB free")
    monkeypatch.setattr(disk_space, "_free_bytes", lambda at: 40_000 if at == other else 10**12)
    assert consult(*words)[0] == 0


def test_packed_data_need_no_more_space_or_time(consult, folder, tmp_path):
    words = ("folder", "--root", folder, "--size", 16, "--data-cache", tmp_path / "cache")
    before, after = {}, {}
    for said in (before, after):
        said |= consult(*words)[1]
        config = loop.TrainConfig(source="folder", root=folder, size=16)
        open_or_pack(config, 16, 3, tmp_path / "cache")
    assert "30.7 kB to pack" in before["disk"][0] and "to pack" in before["whole run"][0]
    assert "0 kB to pack" in after["disk"][0] and "to pack" not in after["whole run"][0]


def test_a_resumed_run_needs_what_its_remaining_steps_take(consult, packed, tmp_path):
    out = tmp_path / "run"
    flags = ["--out", str(out), "--save-every", "10"]
    words = ["train", "--data", str(packed.folder), "--steps", "30", *flags, *QUICK]
    assert cli.main(words) == 0
    _, said, _ = consult(packed.folder, "--steps", "40", *flags)
    assert said["rest"][0].startswith("10 steps, 80 images")
    _, anew, _ = consult(packed.folder, "--steps", "40", "--save-every", "10")
    assert anew["whole run"][0].startswith("40 steps, 320 images")


def test_automatic_augmentation_depends_on_the_number_of_all_images(consult, monkeypatch):
    monkeypatch.setattr(doctor, "_MAX_IMAGES", 20)
    adaptive = []

    class Watched(Trainer):
        def __init__(self, *args):
            super().__init__(*args)
            adaptive.append(self.augment.adaptive)

    monkeypatch.setattr(preparation, "Trainer", Watched)
    faces = "faces", "--size", 16, "--held-out-share", 0
    assert consult(*faces, "--count", 5000)[0] == 0
    assert adaptive and not any(adaptive)
    adaptive.clear()
    assert consult(*faces, "--count", 4999)[0] == 0
    assert adaptive and all(adaptive)


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["/no/such/folder"], 1, "/no/such/folder does not exist"),
        (["folder"], 2, "needs --root"),
        (["folder", "--root", "/no/such"], 1, "/no/such does not exist"),
        (["--size", "48"], 2, "--size"),
    ],
)
def test_mistakes_are_one_line(consult, words, code, complaint):
    found, _, err = consult(*words)
    assert (found, err.count("\n")) == (code, 1)
    assert complaint in err


def test_a_subset_has_the_images_labels_and_names_of_its_source():
    source = open_source(loop.TrainConfig(count=30))
    indices = np.array([3, 17, 21])
    subset = Subset(source, indices)
    images, bad = subset.read_images([2, 0], 16, 3, None)
    expected, _ = source.read_images([21, 3], 16, 3, None)
    assert (images == expected).all() and not bad
    assert (subset.labels == source.labels[indices]).all()
    assert (len(subset), subset.name(1)) == (3, "face 17")


def test_all_images_of_a_small_packed_folder_are_checked(packed):
    chosen = doctor._choose_random(len(packed), loop.TrainConfig(size=16))
    assert (row_reader(open_packed(packed.folder).images)(chosen) == packed.images).all()


def test_fewer_images_than_in_a_batch_are_not_fit_to_train(consult, tmp_path):
    (tmp_path / "raw").mkdir()
    Image.fromarray(faces.render(range(1), 32).images.numpy()[0]).save(tmp_path / "raw" / "0.png")
    code, _, err = consult("folder", "--root", tmp_path / "raw", "--size", 16)
    assert code == 1 and "fewer images, 1, than in a batch, 8" in err
