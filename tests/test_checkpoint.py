import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dcgan import checkpoint
from dcgan.errors import UserError


@pytest.fixture
def copy(run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    return tmp_path / "copy"


def last(run):
    return checkpoint.path_of(run, 6)


def test_a_run_keeps_the_newest_and_loads_it(run):
    names = sorted(p.name for p in (run / "checkpoints").iterdir())
    assert names == [f"step-{s:08d}.safetensors" for s in (2, 4, 6)]
    assert checkpoint.find(run).step == 6
    assert checkpoint.find(last(run)).config["width"] == 4


def test_the_average_and_the_raw_generator_are_those_of_the_file(run):
    averaged, raw = checkpoint.load_generator(run), checkpoint.load_generator(run, ema=False)
    with safe_open(last(run), "pt") as file:
        for G, prefix in ((averaged, "ema."), (raw, "G.")):
            for name, value in G.state_dict().items():
                assert torch.equal(value, file.get_tensor(prefix + name))
    assert not torch.equal(averaged.layers[0].weight, raw.layers[0].weight)
    assert not averaged.training
    assert averaged.latent == "normal"
    assert averaged(torch.zeros(1, averaged.latent_dim)).shape == (1, 3, 16, 16)


def test_the_discriminator_of_the_file(run):
    D = checkpoint.load_discriminator(run)
    with safe_open(last(run), "pt") as file:
        assert torch.equal(D.score.weight, file.get_tensor("D.score.weight"))
    assert D(torch.zeros(2, 3, 16, 16)).shape == (2,)


def test_damaged_newest_is_named_and_passed_over(copy, capsys):
    last(copy).write_bytes(last(copy).read_bytes()[:1000])
    assert checkpoint.newest(copy).step == 4
    assert last(copy).name in capsys.readouterr().err


def test_no_valid_checkpoint_left_is_an_error_not_a_fresh_start(copy):
    for path in (copy / "checkpoints").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match="no checkpoint that can be read"):
        checkpoint.newest(copy)


def header(**changes):
    config = {"size": 16, "channels": 3, "width": 4, "latent_dim": 8}
    config |= {"latent": "normal", "kernel_size": 4}
    return {"dcgan": json.dumps({"format": 1, "step": 1, "config": config} | changes)}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a usable checkpoint"),
        (b"a text, no tensors at all", "not a usable checkpoint"),
        (b"\xff" * 64, "not a usable checkpoint"),
        (None, "lacks 'dcgan'"),
        ({"dcgan": "not JSON"}, "not a usable checkpoint"),
        ({"dcgan": "[1, 2]"}, "not a usable checkpoint"),
        (header(format=99), "newer dcgan"),
        (header(step="six"), "step"),
        (header(config={}), "lacks 'size'"),
        (header(config=json.loads(header()["dcgan"])["config"] | {"width": 10**9}), "width"),
        (header(config=json.loads(header()["dcgan"])["config"] | {"size": "64"}), "size"),
        (header(), "does not match"),
    ],
)
def test_what_is_no_checkpoint_gives_one_clear_line(tmp_path, content, complaint):
    path = tmp_path / "step-00000001.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save_file({"x": torch.zeros(1)}, path, content)
    with pytest.raises(UserError, match=complaint) as caught:
        checkpoint.load_generator(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_checkpoints_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=name):
        checkpoint.find(tmp_path / name)


def test_prune_keeps_the_newest(copy):
    checkpoint.prune(copy, 0)
    assert len(list((copy / "checkpoints").iterdir())) == 3
    checkpoint.prune(copy, 1)
    assert [p.name for p in (copy / "checkpoints").iterdir()] == [last(copy).name]
