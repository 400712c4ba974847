"""`dcgan neighbours`: what it prints and draws, which images it compares, and mistakes."""

import inspect
import re

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan import cli, sampling
from dcgan.config import NeighboursConfig
from dcgan.data import open_packed, split_images
from dcgan.errors import UsageError, UserError
from dcgan.evaluation import report_memorization
from dcgan.evaluation.memorization_report import _held_out_of_run, _split_images
from dcgan.networks import Generator
from dcgan.runs import load_generator
from dcgan.training.preparation import read_labels
from tests.conftest import fit, write_packed

CPU = torch.device("cpu")
NONE = np.zeros(200, bool)  # were held out from the training


@pytest.fixture
def other(tmp_path):
    """20 images of noise in a packed folder of their own."""
    images = np.random.default_rng(3).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    return write_packed(tmp_path / "other", images)


def test_the_command_prints_the_test_and_draws_samples_beside_their_neighbours(
    run, packed, other, tmp_path, capsys
):
    out = tmp_path / "found.png"
    flags = ["--data", str(packed.folder), "--count", "30", "--device", "cpu", "--out", str(out)]
    flags += ["--held-out", str(other), "--precision", "fp32"]
    assert cli.main(["neighbours", str(run), *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, line in zip(("pixels", "features"), lines, strict=False):
        assert re.match(rf"{name}: .* \(copying score [01]\.\d{{3}}, .* z -?\d+\.\d; .*%", line)
    assert lines[2] == "30 samples, 20 held-out and 50 training images; fp32 on cpu"
    with Image.open(out) as image:
        picture = np.asarray(image)
    assert picture.shape == (12 * 18 + 2, 7 * 18 + 2, 3)
    samples = np.concatenate(list(sampling.sample(load_generator(run), range(30), None, "fp32")))
    training = np.asarray(packed.images)
    for row in range(12):
        cells = [picture[18 * row + 2 :, 18 * i + 2 :][:16, :16] for i in range(7)]
        assert (samples == cells[0]).all((1, 2, 3)).sum() == 1, "the first is a sample"
        squares = (training.astype(float) - cells[0]) ** 2
        nearest = squares.sum((1, 2, 3)).argsort()[:3]
        assert (np.stack(cells[1:4]) == training[nearest]).all(), "the next are nearest by pixels"
        for cell in cells[4:]:
            assert (training == cell).all((1, 2, 3)).any(), "the last are training images too"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "give --held-out"),  # a tenth of 50 images is too few
        (["--label", "dog"], "not trained with --conditional"),
        (["--held-out", "DATA"], "holds the images of --data"),
        (["--held-out", "/no/such"], "does not exist"),
        (["--out", "a.jpg"], "must end in .png"),
        (["--count", "3"], "--count"),
    ],
)
def test_mistakes_are_one_line(run, packed, capsys, flags, words):
    flags = [str(packed.folder) if flag == "DATA" else flag for flag in flags]
    code = cli.main(["neighbours", str(run), "--data", str(packed.folder), *flags])
    err = capsys.readouterr().err
    assert code in (1, 2) and words in err and err.count("\n") == 1


def test_the_function_refuses_what_the_command_refuses(run, packed, tmp_path):
    out = tmp_path / "found.png"
    with pytest.raises(UsageError, match="--count must be at least 10, not 3"):
        report_memorization(run, packed.folder, out, count=3)
    with pytest.raises(UsageError, match=r"--out .*a\.jpg.*must end in \.png"):
        report_memorization(run, packed.folder, str(tmp_path / "a.jpg"))
    with pytest.raises(UsageError, match="--device must be auto, cuda"):
        report_memorization(run, packed.folder, out, device="gpu")
    with pytest.raises(UserError, match="too small to hold images out"):
        report_memorization(run, packed.folder, out, device="cpu")
    assert not out.exists()


def test_the_function_takes_every_option_of_the_command_with_its_default():
    def defaults(function):
        arguments = inspect.signature(function).parameters.items()
        return {name: argument.default for name, argument in arguments if name != "out"}

    assert defaults(report_memorization) == defaults(NeighboursConfig)


def test_a_tenth_of_the_data_is_held_out_where_no_other_images_are_given(tmp_path):
    images = np.zeros((200, 16, 16, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(200)
    packed = open_packed(write_packed(tmp_path / "a", images))
    training, held_out = _split_images(packed, Generator(16, width=4), 1000, None, None, NONE[:200])
    assert len(training) == 180 and len(held_out) == 20
    assert set(training) | set(held_out[:, 0, 0, 0]) == set(range(200))
    _, fewer = _split_images(packed, Generator(16, width=4), 12, None, None, NONE[:200])
    assert len(fewer) == 12


def test_images_that_the_run_has_held_out_are_the_reference(other, tiny, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (300, 16, 16, 3), dtype=np.uint8)
    packed = open_packed(write_packed(tmp_path / "noise", images))
    run, _ = tmp_path / "run", fit(tiny(steps=2, held_out_share=0.4), packed, tmp_path / "run", CPU)
    held_out = _held_out_of_run(run, packed)
    assert set(np.flatnonzero(held_out)) == set(split_images(300, 0.4, 0)[1])
    G = load_generator(run)
    training, reference = _split_images(packed, G, 1000, None, None, held_out)
    assert set(training) == set(np.flatnonzero(~held_out))
    expected = np.asarray(packed.images)[held_out]
    assert {image.tobytes() for image in reference} == {image.tobytes() for image in expected}
    training, reference = _split_images(packed, G, 1000, other, None, held_out)
    assert set(training) == set(np.flatnonzero(~held_out)), "G has not seen the others"
    assert len(reference) == 20
    assert len(_split_images(packed, G, 12, None, None, held_out)[1]) == 12
    assert not _held_out_of_run(run, open_packed(other)).any(), "those are other images"


def test_samples_of_a_label_are_compared_with_images_of_that_label(tmp_path):
    """Where one class is plainer than the other, plain samples are near plain images."""
    i = np.arange(60)
    images = np.zeros((60, 16, 16, 3), np.uint8)
    images[:, 0, 0, 0] = i
    packed = open_packed(write_packed(tmp_path / "a", images, i % 2, ("plain", "busy"), "class"))
    other = write_packed(tmp_path / "b", images + 1, i % 3 % 2, ("plain", "busy"), "class")
    bare = write_packed(tmp_path / "c", images + 2)
    G = Generator(16, width=4)
    G.labels = read_labels(packed)
    training, held_out = _split_images(packed, G, 1000, other, "busy", NONE[:60])
    assert set(training) == set(i[i % 2 == 1])
    assert set(held_out[:, 0, 0, 0] - 1) == set(i[i % 3 == 1])
    training, held_out = _split_images(packed, G, 1000, other, None, NONE[:60])
    assert len(training) == len(held_out) == 60
    with pytest.raises(UsageError, match=r"the images of .*c have no labels"):
        _split_images(packed, G, 1000, bare, "busy", NONE[:60])
