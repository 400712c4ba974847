"""`dcgan features`."""

import json

import pytest

from dcgan import cli
from tests.cli.running import fail
from tests.deconv.linear_probe.sets import pack_bars


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return pack_bars(tmp_path_factory.mktemp("labelled") / "packed").folder


def test_it_prints_the_table_and_writes_the_scores(run, labelled, tmp_path, capsys):
    out = tmp_path / "scores.json"
    flags = ["--per-class", "8", "--draws", "2", "--cnn-draws", "0", "--out", str(out)]
    assert cli.main(["features", str(run), "--data", str(labelled), *flags]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["features", "accuracy", "%", "balanced", "%", "draws", "C"]
    assert printed[1].startswith("D  ") and printed[-2].startswith("D, shuffled labels")
    assert printed[-1] == str(out)
    content = json.loads(out.read_text())
    shown = 100 * sum(content["results"]["pixels"]["accuracy"]["class"]) / 2
    row = next(line for line in printed if line.startswith("pixels"))
    assert float(row.split()[2]) == pytest.approx(shown, abs=0.06)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--per-class", "0"], "--per-class must be from 1 to 100,000, not 0"),
        (["--per-class", "90"], "--per-class 90 needs more"),
        (["--draws", "1"], "--draws must be from 2 to 10,000, not 1"),
        (["--draws", "5", "--cnn-draws", "6"], "--cnn-draws must be from 0 to --draws, 5, not 6"),
        (["--test", "1"], "--test must be at least 2, not 1"),
        (["--test", "250"], "300 images cannot give 250 for testing and 125 for validation"),
        (["--seed", "-1"], "--seed must be at least 0, not -1"),
        (["--out", "scores.csv"], "must end in .json"),
        (["--device", "abacus"], "--device must be auto, cuda, cuda:N, mps or cpu"),
    ],
)
def test_mistakes_take_one_line(run, labelled, capsys, flags, words):
    _, err = fail(capsys, cli.features, run, "--data", labelled, *flags)
    assert words in err


def test_folders_that_do_not_fit_take_one_line(run, packed, labelled, tmp_path, capsys):
    for data, words in (
        (packed.folder, "have no labels"),
        (pack_bars(tmp_path / "large", 20, 32).folder, "of size 32, and D is for 16"),
        (pack_bars(tmp_path / "grey", 20, channels=1).folder, "of channels 1, and D is for 3"),
        (tmp_path / "none", "does not exist"),
    ):
        _, err = fail(capsys, cli.features, run, "--data", data)
        assert words in err
    _, err = fail(capsys, cli.features, tmp_path / "nothing", "--data", labelled)
    assert "nothing" in err
    _, err = fail(capsys, cli.features, run)
    assert "--data" in err


def test_the_encoder_of_a_denoising_autoencoder_is_a_row(run, labelled, tmp_path, capsys):
    """Its features are those of a discriminator that has its weights."""
    flags = ["--steps", "1", "--width", "4", "--code-dim", "8", "--batch-size", "8"]
    flags += ["--held-out", "20", "--device", "cpu"]
    out, scores = tmp_path / "denoise", tmp_path / "scores.json"
    assert cli.main(["denoise", "train", "--data", str(labelled), "--out", str(out), *flags]) == 0
    capsys.readouterr()
    flags = ["--per-class", "8", "--draws", "2", "--cnn-draws", "0", "--out", str(scores)]
    command = ["features", str(run), "--data", str(labelled), "--autoencoder", str(out), *flags]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out.splitlines()
    row = next(line for line in printed if line.startswith("denoising autoencoder"))
    assert row.split()[2] == printed[1].split()[1], "as many features as D of this width has"
    error = fail(capsys, cli.features, run, "--data", labelled, "--autoencoder", run)[1]
    assert "holds a GAN, not a denoising autoencoder" in error
