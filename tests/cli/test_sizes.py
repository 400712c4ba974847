"""`dcgan sizes`: tables, pictures, and mistakes of one line."""

import re

import pytest
from PIL import Image

from dcgan import cli
from tests.cli.running import fail


def test_the_table_of_a_discriminator(capsys):
    layers = "conv 64 4 2 1, conv 128 4 2 1, conv 256 4 2 1, conv 512 4 2 1, conv 1 4"
    assert cli.main(["sizes", layers, "--input", "64", "--channels", "3"]) == 0
    rows = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    rows = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert rows[1] == ["input", "3x64x64"]
    assert rows[2] == ["conv 64 4 2 1", "64x32x32", "4", "2", "1", "0.5", "2"]
    assert rows[6] == ["conv 1 4", "1x1x1", "94", "16", "15", "31.5", "4"]


def test_height_and_width_differ(capsys):
    assert cli.main(["sizes", "conv 8 5x3 2x1 2x1; maxpool 2 ceil", "--input", "21x9"]) == 0
    out = capsys.readouterr().out
    assert "8x11x9" in out and "8x6x5" in out and "5 x 3" in out and "2-3 uneven x 3" in out


def test_inverse_questions_list_what_fits(capsys):
    assert cli.main(["sizes", "--input", "7", "--to", "14"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "deconv 4 2 1 0 2" in lines, "kernel, stride, padding, output_padding, taps"
    assert lines.index("deconv 4 2 1 0 2") < lines.index("deconv 3 2 1 1 1-2 uneven")


@pytest.mark.parametrize(
    ("layers", "name"), [("conv 2 4 2 1, conv 3 3", "a.png"), ("deconv 1 3 2", "a.gif")]
)
def test_pictures_are_written(tmp_path, capsys, layers, name):
    side = "4" if name == "a.gif" else "8"
    assert cli.main(["sizes", layers, "--input", side, "--out", str(tmp_path / name)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / name)
    with Image.open(tmp_path / name) as picture:
        assert getattr(picture, "n_frames", 1) == (9 * 9 if name == "a.gif" else 1)


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ([], "name layers"),
        (["conf 64 4"], "layer 'conf 64 4': it must begin with one of conv, deconv"),
        (["conv"], "the number of channels is missing"),
        (["conv 64"], "the kernel is missing"),
        (["conv 64 4 2 1 1"], "'1' is one too many"),
        (["conv 64 four"], "'four' is no whole number"),
        (["conv 64 4 -1"], "'-1' is no whole number"),
        (["conv 64 4 0"], "a stride must be from 1"),
        (["conv 64 4 kernels=3"], "there is no 'kernels'"),
        (["conv 64 4 output_padding=1"], "only a deconv has"),
        (["conv 64 4 ceil"], "only a pooling"),
        (["conv 3x5 4"], "channels must be one number"),
        (["maxpool 2 2 2"], "at most half its kernel"),
        (["conv 64 4,,conv 3 3"], "a comma too many"),
        (["conv 64 4 2 1,"], "a comma too many"),
        (["conv 64 4 kernel=5"], "'conv 64 4 kernel=5': the kernel is given twice"),
        (["conv 64 4 dilation=2 dilation=3"], "the dilation is given twice"),
        (["avgpool 2 dilation=2"], "an average pooling has no dilation"),
        (["conv 8 4 2 1, conv 8 9", "--input", "16"], "layer 2, 'conv 8 9': .* leaves no output"),
        (["conv 8 4", "--input", "6 4"], "'6 4' is no whole number"),
        (["conv 8 4", "--input", "0"], "a side must be from 1"),
        (["conv 8 4", "--channels", "0"], "--channels must be positive"),
        (["conv 8 4", "--to", "3"], "leave out the layers"),
        (["--to", "3", "--input", "6x4"], "one side of the input, not 6x4"),
        (["--to", "999", "--input", "6"], "takes 6 to 999"),
        (["conv 8 4, conv 8 4", "--input", "16", "--out", "x.gif"], "shows one layer, not 2"),
        (["conv 8 4", "--out", "x.jpg"], r"--out x\.jpg: the file name must end in \.png, \.gif"),
        (["conv 8 4", "--input", "9000", "--out", "x.png"], "at most 2,048 positions"),
        (["conv 8 4", "--input", "8x2049", "--out", "x.png"], "a side, not 2,049"),
    ],
)
def test_mistakes_take_one_line(capsys, monkeypatch, tmp_path, args, complaint):
    monkeypatch.chdir(tmp_path)
    code, err = fail(capsys, cli.sizes, *args)
    assert code in (1, 2)
    assert re.search(complaint, err), err
