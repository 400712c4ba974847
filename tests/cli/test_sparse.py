"""`dcgan sparse` from end to end."""

import re

import numpy as np
import pytest
from PIL import Image

from dcgan import cli
from dcgan.config import SparseConfig
from dcgan.deconv.sparse_coding.command import choose_images, report_sparse
from dcgan.errors import UsageError
from tests.cli.running import fail
from tests.conftest import write_packed

SMALL = ["--filters", "3", "--size", "4", "--rounds", "3", "--count", "6", "--device", "cpu"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_and_what_it_shows(tmp_path, capsys, channels):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (8, 12, 12, channels), dtype=np.uint8)
    folder, out = write_packed(tmp_path / "packed", noise), tmp_path / "filters.png"
    words = ["sparse", str(folder), *SMALL, "--noise", "10", "--out", str(out)]
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    before, after = re.fullmatch(
        r"energy of 6 images: ([\d,]+), after 3 rounds ([\d,]+)", lines[0]
    ).groups()
    assert int(after.replace(",", "")) < int(before.replace(",", ""))
    assert re.fullmatch(r"reconstruction: [\d.]+ dB, [\d.]+ nonzero coefficients .*", lines[1])
    assert re.fullmatch(r"denoising: (9\.\d|10\.\d) dB to [\d.]+ dB", lines[2])
    assert lines[3:] == [str(out)]
    with Image.open(out) as picture:
        assert picture.mode == "RGB" and picture.width > 1000


def test_the_images_shown_are_not_learnt_from(packed):
    learnt_from, shown = choose_images(packed, 10, 0)
    assert learnt_from.shape == (10, 3, 16, 16) and len(shown) == 4
    same = (learnt_from[:, None] == shown).all((2, 3, 4))
    assert not same.any()
    everything, some = choose_images(packed, 1000, 0)
    assert len(everything) == 50 and (everything[:4] == some).all()


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--size", "17"], "filters of 17x17 pixels are larger than the images, 16x16 pixels"),
        (["--size", "0"], "--size must be at least 1, not 0"),
        (["--filters", "0"], "--filters must be at least 1, not 0"),
        (["--filters", "1000000000"], "do not fit in memory: use fewer"),
        (["--filters", "x"], "--filters"),
        (["--p", "0"], "--p must be above 0 and at most 1, not 0.0"),
        (["--p", "2"], "--p must be above 0 and at most 1, not 2.0"),
        (["--p", "nan"], "--p must be above 0 and at most 1, not nan"),
        (["--sigma", "0"], "--sigma must be a number above 0, not 0.0"),
        (["--sigma", "inf"], "--sigma must be a number above 0, not inf"),
        (["--weight", "-1"], "--weight must be from 1e-06 to 1e.06, not -1.0"),
        (["--weight", "1e37"], "--weight must be from 1e-06 to 1e.06, not 1e.37"),
        (["--sigma", "1e-200"], "nothing to learn from: .*--sigma 1e-200 is so small"),
        (["--rounds", "0"], "--rounds must be at least 1, not 0"),
        (["--noise", "nan"], "--noise must be from -100 to 100 dB, not nan"),
        (["--seed", "-1"], "--seed must be from 0"),
        (["--out", "a.jpg"], r"--out a\.jpg: the file name must end in \.png"),
        (["--device", "tpu"], "--device must be auto"),
    ],
)
def test_mistakes_take_one_line(packed, capsys, monkeypatch, tmp_path, args, complaint):
    monkeypatch.chdir(tmp_path)
    code, err = fail(capsys, cli.sparse, packed.folder, *args)
    assert code in (1, 2)
    assert re.search(complaint, err), err
    assert not list(tmp_path.iterdir())


def test_images_of_one_colour_take_one_line(capsys, tmp_path):
    folder = write_packed(tmp_path / "packed", np.full((3, 12, 12, 3), 90, np.uint8))
    out = tmp_path / "filters.png"
    _, err = fail(capsys, cli.sparse, folder, *SMALL, "--out", out)
    assert "there is nothing to learn from: the images are of one colour" in err
    assert not out.exists()


def test_a_blank_image_among_those_shown_does_not_count(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 1), dtype=np.uint8)
    ratios = []
    for blanks in (0, 1):
        shown = np.concatenate([images, np.full_like(images[:blanks], 90)])
        folder = write_packed(tmp_path / str(blanks), shown)
        flags = ["--filters", "4", "--size", "4", "--rounds", "1", "--weight", "1e3"]
        out = tmp_path / "filters.png"
        assert cli.main(["sparse", str(folder), *flags, "--device", "cpu", "--out", str(out)]) == 0
        lines = capsys.readouterr().out
        assert "after 1 round " in lines
        ratios.append(float(re.search(r"reconstruction: ([\d.]+) dB", lines)[1]))
    assert ratios[1] > 0.8 * ratios[0], "the blank one has 0 dB"


def test_folders_that_are_none_take_one_line(capsys, tmp_path):
    assert "is not a packed folder" in fail(capsys, cli.sparse, tmp_path)[1]
    assert "does not exist" in fail(capsys, cli.sparse, tmp_path / "none")[1]


def test_python_callers_get_the_same_checks(packed):
    with pytest.raises(UsageError, match="report_sparse needs a SparseConfig, not None"):
        report_sparse(None)
    with pytest.raises(UsageError, match="--p must be of type float, not '1'"):
        SparseConfig(data=packed.folder, p="1")
