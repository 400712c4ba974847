"""`dcgan segment`."""

import re

import numpy as np
import pytest
from PIL import Image

from dcgan import cli, images
from dcgan.deconv import fcn
from tests.cli.running import fail
from tests.deconv.fcn.conftest import draw_squares, write_masked

FLAGS = ["--width", "4", "--batch-size", "8", "--steps", "4", "--held-out", "10"]
FLAGS += ["--device", "cpu", "--save-every", "2"]


def read(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_masked(tmp_path_factory.mktemp("masked") / "squares", *draw_squares(60)).folder


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory, squares):
    run = tmp_path_factory.mktemp("segmenters") / "tiny"
    assert cli.main(["segment", "train", str(squares), "--out", str(run), *FLAGS]) == 0
    return run


def test_train_resume_predict_and_evaluate(squares, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["segment", "train", str(squares), "--out", "r", *FLAGS]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"mean IU +\d+\.\d", shown) and "background" in shown
    assert re.search(r"^checkpoint   r.checkpoints.step-00000004", shown, re.MULTILINE)
    assert cli.main(["segment", "train", "--out", "r", "--steps", "6"]) == 0
    assert "r resumes from step 4 with --steps 6 (4 before)" in capsys.readouterr().err
    images.save_png(tmp_path / "photo.png", draw_squares(1, 32)[0][0, :, :21])
    flags = ["--out", "o.png", "--index", "i.png"]
    assert cli.main(["segment", "predict", "r", "photo.png", *flags]) == 0
    assert re.search(r"^ *\d+\.\d%  background$", capsys.readouterr().out, re.MULTILINE)
    assert read("i.png").shape == (32, 21) and read("o.png").shape == (32, 21, 3)
    assert cli.main(["segment", "evaluate", "r", "--out", "e.png"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "e.png"


def test_a_preset_sets_the_defaults_that_flags_override(squares, tmp_path):
    run = tmp_path / "heavy"
    flags = [flag for flag in FLAGS if flag not in ("--batch-size", "8")]
    words = ["segment", "train", "heavy", str(squares), "--lr", "1e-6", "--out", str(run)]
    assert cli.main([*words, *flags]) == 0
    config = fcn.state.SegmentationState.config_in(
        fcn.loading.find_checkpoint(run, "a segmentation network")
    )
    assert (config.optimizer, config.momentum, config.batch_size) == ("sgd", 0.99, 1)
    assert config.lr == 1e-6 and config.loss_sum


def test_faces_stand_for_the_built_in_faces_with_masks(tmp_path, monkeypatch):
    """Unless a packed folder has that name."""
    monkeypatch.chdir(tmp_path)
    write_masked(tmp_path / "faces", *draw_squares(40))
    assert cli.main(["segment", "train", "faces", "--out", "r", *FLAGS]) == 0
    assert fcn.load_segmenter("r").class_names == ("background", "red", "green")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "train|predict|evaluate; see"),
        (("paint",), "unknown task 'paint'"),
        (("predict",), "Missing"),
        (("train", "nowhere"), "nowhere does not exist; `dcgan prepare` makes one"),
        (("train", "--stride", "0"), "--stride must be at least 1, not 0"),
        (("train", "--momentum", "0.5"), "--momentum is for --optimizer sgd"),
        (("evaluate", "nowhere"), "nowhere: no such checkpoint or run folder"),
        (("predict", "r", "p.png", "--out", "o.jpg"), "must end in .png"),
        (("predict", "r", "p.png", "--out", "o.png", "--index", "o.png"), "are the same file"),
    ],
)
def test_wrong_words_take_one_line(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, err = fail(capsys, cli.segment, *words)
    assert said in err and err.count("\n") == 1, err


def test_wrong_pictures_take_one_line(segmenter, tmp_path, capsys):
    (tmp_path / "text.png").write_text("hello")
    strip = tmp_path / "strip.png"
    Image.fromarray(np.zeros((1, 50, 3), np.uint8)).save(strip)
    for picture, said in (
        (tmp_path / "none.png", "no such photo"),
        (tmp_path / "text.png", "is no photo that can be read"),
        (strip, "an image of 50x1 pixels is too small for the network"),
    ):
        _, err = fail(
            capsys, cli.segment, "predict", segmenter, picture, "--out", tmp_path / "o.png"
        )
        assert said in err and err.count("\n") == 1
        assert not (tmp_path / "o.png").exists()
