"""Parsing of presets, flags and seeds into the options of a command."""

import dataclasses
import json
import shutil

import pytest

from dcgan import cli
from dcgan.cli.train_parsing import parse_train_config
from dcgan.config import PRESETS, parse_seeds
from dcgan.errors import UsageError
from tests.cli.running import fail


@pytest.mark.parametrize(
    ("source", "words", "preset"),
    [
        ("folder", [], "folder"),
        ("faces", [], "faces"),
        ("mnist", [], "mnist"),
        (["a", {"hostile": 1}], [], "folder"),
        ("folder", ["faces"], "faces"),
        ("celeba", ["paper"], "paper"),
    ],
)
def test_packed_images_get_the_preset_of_their_source(packed, tmp_path, source, words, preset):
    folder = shutil.copytree(packed.folder, tmp_path / "packed")
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"source": source}))
    config = parse_train_config([*words, "--data", str(folder), "--steps", "7"], "dcgan", "")
    expected = dict(data=folder, size=16, channels=3, steps=7)
    assert config == dataclasses.replace(PRESETS[preset], **expected)


def test_dry_run_prints_the_preset_with_flags_over_it(capsys):
    assert cli.main(["train", "mnist", "--dry-run", "--width", "7", "--no-flip"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["source"], shown["channels"], shown["size"]) == ("mnist", 1, 32)
    assert (shown["width"], shown["flip"], shown["out"]) == (7, False, "runs/mnist")
    assert shown["steps"] == PRESETS["mnist"].steps


@pytest.mark.parametrize(
    ("flags", "weights"),
    [([], (0, 0)), (["--r1", "1"], (1, 0)), (["--r1", "0.5", "--r2", "1"], (0.5, 1))],
)
def test_the_flag_of_wgan_gp_turns_off_r1_and_r2_unless_they_have_flags(capsys, flags, weights):
    penalty = ["--loss", "wasserstein", "--gradient-penalty", "10"]
    for preset in ([], ["folder"]):
        assert cli.main(["train", *preset, "--dry-run", *penalty, *flags]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert (shown["gradient_penalty"], shown["r1"], shown["r2"]) == (10, *weights)


def test_packed_images_set_the_size_and_another_one_is_refused(capsys, packed):
    assert cli.main(["train", "--data", str(packed.folder), "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == 16
    code, err = fail(capsys, cli.train, "--data", packed.folder, "--size", "32", "--dry-run")
    assert (code, "--size 32" in err) == (2, True)


@pytest.mark.parametrize("spelling", ["--local-rank=1", "--local_rank=1"])
def test_the_local_rank_of_torch_distributed_launch_is_accepted(spelling):
    expected = parse_train_config(["mnist", "--steps", "3"], "dcgan", "")
    assert parse_train_config([spelling, "mnist", "--steps", "3"], "dcgan", "") == expected


def test_seeds_are_numbers_and_ranges():
    assert parse_seeds("0-3,7, 9") == [0, 1, 2, 3, 7, 9]
    for text in ("", "a", "-3", "3-", "1.5", "0-99999999999", "²"):
        with pytest.raises(UsageError, match="--seeds"):
            parse_seeds(text)
