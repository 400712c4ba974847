"""Starting from trained networks (--from), and resuming by --out alone."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from dcgan import cli
from dcgan.cli.train_parsing import parse_train_config
from dcgan.data import open_packed
from dcgan.errors import UsageError, UserError
from dcgan.runs.checkpoint_folder import find_checkpoint
from dcgan.training.loop import train
from dcgan.training.preparation import make_trainer
from dcgan.training.resume import config_of_run
from dcgan.training.transfer import load_networks
from tests.conftest import fit, write_packed

CPU = torch.device("cpu")


def labelled(folder, names):
    """20 packed images of 16x16 with the classes `names`."""
    pixels = np.random.default_rng(1).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(20, dtype=np.int64) % len(names)
    return open_packed(write_packed(folder, pixels, labels, names, "class"))


def same(ours: dict, theirs: dict) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_all_three_networks_are_copied_and_optimizers_start_anew(run, packed, tiny):
    trainer, found = make_trainer(packed, tiny(), CPU), find_checkpoint(run)
    load_networks(trainer, found)
    for prefix, network in (("G.", trainer.G), ("D.", trainer.D), ("ema.", trainer.G_ema)):
        assert same(network.state_dict(), found.tensors(prefix)), prefix
    assert not same(found.tensors("G."), found.tensors("ema."))
    assert all(not s["exp_avg"].any() for s in trainer.opt_G.state.values())
    assert trainer.step == 0


def test_a_run_from_a_checkpoint_begins_at_step_0_and_resumes_as_any_other(
    run, tiny, tmp_path, packed
):
    folder = labelled(tmp_path / "other", ("a", "b")).folder
    config = tiny(data=folder, out=tmp_path / "new", from_=run, steps=4)
    whole = find_checkpoint(train(config))
    assert (whole.step, whole.config["from_"]) == (4, str(run))
    # With random networks instead, the same steps lead elsewhere.
    random = find_checkpoint(train(dataclasses.replace(config, from_=None, out=tmp_path / "r")))
    assert not same(whole.tensors("G."), random.tensors("G."))
    halves = dataclasses.replace(config, out=tmp_path / "halves", steps=2)
    train(halves)
    last = find_checkpoint(train(dataclasses.replace(halves, steps=4)))
    assert same(last.tensors(""), whole.tensors(""))


def test_labels_of_other_names_keep_their_initial_weights(tiny, tmp_path, packed):
    dogs = labelled(tmp_path / "dogs", ("beagle", "poodle"))
    birds = labelled(tmp_path / "birds", ("crow", "heron", "owl"))
    config = tiny(conditional=True, steps=2)
    found = find_checkpoint(fit(config, dogs, tmp_path / "run", CPU))
    theirs = found.tensors("G.")["layers.0.weight"]
    embedded = found.tensors("D.")["embed.weight"]

    again = make_trainer(dogs, config, CPU)
    load_networks(again, found)
    assert torch.equal(again.G.state_dict()["layers.0.weight"], theirs)
    assert torch.equal(again.D.embed.weight, embedded)

    other = make_trainer(birds, config, CPU)
    initial = other.G.state_dict()["layers.0.weight"].clone()
    initial_embedding = other.D.embed.weight.clone()
    load_networks(other, found)
    rows = other.G.state_dict()["layers.0.weight"]
    assert torch.equal(rows[:8], theirs[:8])
    assert torch.equal(rows[8:], initial[8:])
    assert torch.equal(other.D.embed.weight, initial_embedding)

    unconditional = make_trainer(packed, tiny(), CPU)
    load_networks(unconditional, found)
    assert torch.equal(unconditional.G.state_dict()["layers.0.weight"], theirs[:8])


def test_other_networks_are_refused_before_anything_is_written(run, packed, tiny, tmp_path):
    config = tiny(data=packed.folder, from_=run, width=5, out=tmp_path / "new")
    with pytest.raises(UsageError, match=r"--width 5: the networks of --from .* have --width 4"):
        train(config)
    with pytest.raises(UserError, match="no such checkpoint"):
        train(dataclasses.replace(config, from_=tmp_path / "none"))
    assert not (tmp_path / "new").exists()


def test_the_command_line_takes_the_networks_of_from(run, tmp_path, capsys):
    out = tmp_path / "new"
    config = parse_train_config(["--from", str(run), "--out", str(out)], "dcgan", "")
    assert (config.size, config.width, config.latent_dim) == (16, 4, 8)
    pixels = np.zeros((10, 32, 32, 3), np.uint8)
    larger = write_packed(tmp_path / "larger", pixels)
    assert cli.main(["train", "--from", str(run), "--data", str(larger), "--out", str(out)]) == 2
    assert "have --size 16, and the images of" in capsys.readouterr().err


def test_a_run_is_resumed_by_its_folder_alone(tmp_path, capsys):
    out, cache = tmp_path / "run", tmp_path / "cache"
    flags = ["--count", "30", "--size", "16", "--width", "3", "--batch-size", "4", "--no-flip"]
    flags += ["--lr-G", "0.003", "--data-cache", str(cache), "--out", str(out), "--device", "cpu"]
    assert cli.main(["train", "faces", *flags, "--steps", "2"]) == 0
    assert cli.main(["train", "--out", str(out), "--steps", "3", "--lr-D", "0.002"]) == 0
    err = capsys.readouterr().err
    assert f"{out} resumes from step 2 with --lr-D 0.002 (0.001 before), --steps 3 (2 b" in err
    config = find_checkpoint(out).config
    assert (config["width"], config["flip"], config["lr_G"]) == (3, False, 0.003)
    assert (config["lr_D"], config["steps"]) == (0.002, 3)

    shown = json.loads(json.dumps(vars(config_of_run(out)), default=str))
    assert shown == config | {"threads": None}, "the run's own are taken, where there are CPUs"
    assert (
        train(dataclasses.replace(config_of_run(out), steps=4)).name == "step-00000004.safetensors"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mnist"], "holds a run on faces, not mnist: use another --out"),
        (["--count", "31"], "was trained with --count 30, not 31"),
        (["--levels", "file"], "was trained with --levels full, not file"),
        (["--fit", "pad"], "was trained with --fit crop, not pad"),
        (["--width", "4"], "was trained with --width 3, not 4"),
    ],
)
def test_another_data_set_or_network_is_refused_before_packing(tmp_path, capsys, words, said):
    out, cache = tmp_path / "run", tmp_path / "cache"
    flags = ["--count", "30", "--size", "16", "--width", "3", "--batch-size", "4", "--steps", "1"]
    where = ["--data-cache", str(cache), "--out", str(out)]
    assert cli.main(["train", *flags, *where, "--device", "cpu"]) == 0
    before = sorted(cache.iterdir())
    capsys.readouterr()
    assert cli.main(["train", *words, "--out", str(out)]) == 1
    assert said in capsys.readouterr().err
    assert sorted(cache.iterdir()) == before


def test_fresh_takes_the_options_of_the_run_unless_images_are_named(run):
    flags = ["--out", str(run), "--fresh"]
    assert parse_train_config(["faces", *flags], "dcgan", "").width == 24
    assert parse_train_config([*flags, "--root", "r"], "dcgan", "").width == 24
    config = parse_train_config(flags, "dcgan", "")
    assert (config.width, config.fresh) == (4, True)
    assert parse_train_config(flags[:2], "dcgan", "").width == 4


def test_a_run_without_a_checkpoint_is_begun_again_by_its_folder_alone(run, tmp_path):
    """It would train on cartoon faces instead of the images that it was begun with."""
    shutil.copy(run / "config.json", tmp_path)
    flags = ["--out", str(tmp_path)]
    config = parse_train_config([*flags, "--steps", "5"], "dcgan", "")
    assert config == dataclasses.replace(config_of_run(run), out=tmp_path, steps=5)
    # Other images are a new start, with nothing of the one that was given up.
    assert parse_train_config(["faces", *flags], "dcgan", "").width == 24
    assert parse_train_config([*flags, "--root", "r"], "dcgan", "").width == 24
    (tmp_path / "config.json").write_text(json.dumps({"size": 16}))  # another program's
    assert parse_train_config(flags, "dcgan", "").width == 24


def test_the_wgan_gp_penalty_replaces_r1_and_r2_of_a_resumed_run_too(run):
    flags = ["--out", str(run), "--loss", "wasserstein", "--gradient-penalty", "10"]
    for more, weights in (([], (0, 0)), (["--r1", "1"], (1, 0))):
        config = parse_train_config([*flags, *more], "dcgan", "")
        assert (config.r1, config.r2) == weights


def test_raw_and_packed_images_replace_each_other_when_a_run_is_resumed(run, packed):
    config = parse_train_config(["--out", str(run), "--root", "/pictures"], "dcgan", "")
    assert (config.data, str(config.root)) == (None, "/pictures")
    config = parse_train_config(["--out", str(run), "--data", str(packed.folder)], "dcgan", "")
    assert (config.data, config.root) == (packed.folder, None)
