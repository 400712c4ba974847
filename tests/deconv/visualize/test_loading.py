"""The network of the user's own code, its weights, and random ones."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dcgan.config import VisualizeConfig
from dcgan.deconv.visualize import load_subject
from dcgan.errors import UsageError, UserError

CODE = """
import os

import torch
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())

network = nn.Conv2d(3, 2, 3)

class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(2, 3, 3, 3))

def broken():
    raise RuntimeError("it is\\nbroken")

def number():
    return 7

def elsewhere():
    os.makedirs("elsewhere", exist_ok=True)
    os.chdir("elsewhere")
    return build()

def lazy():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU())

def on_meta():
    return build().to("meta")
"""


@pytest.fixture
def own_code(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("own_networks", None)


def config(name: str, **options) -> VisualizeConfig:
    return VisualizeConfig(network=f"own_networks:{name}", filters=True, device="cpu", **options)


def test_functions_classes_and_networks_are_taken(own_code):
    subject = load_subject(config("build", size=20))
    assert subject.image_shape == (1, 20, 20) and subject.name == "own_networks:build"
    assert load_subject(config("network")).image_shape == (3, 64, 64)
    assert load_subject(config("Own"), (3, 30, 30)).image_shape == (3, 30, 30)
    state = torch.get_rng_state()
    again = load_subject(config("build"))
    assert torch.equal(again.network[0].weight, subject.network[0].weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_code_that_changes_the_folder_does_not_move_other_paths(own_code):
    load_subject(config("elsewhere"))
    assert Path.cwd() == own_code


@pytest.mark.parametrize("name", ["lazy", "on_meta"])
def test_networks_without_values_take_one_line(own_code, name):
    with pytest.raises(UserError, match="parameters have no values yet"):
        load_subject(config(name, size=20))


def test_weights_are_read(own_code):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    nn.init.normal_(network[1].running_mean)
    save_file(network.state_dict(), "w.safetensors")
    loaded = load_subject(config("build", weights="w.safetensors")).network
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    random = load_subject(config("build", weights="w.safetensors", random=True))
    assert random.name == "own_networks:build with random weights"
    assert not torch.equal(random.network[0].weight, loaded[0].weight)
    assert not random.network[1].running_mean.any()


def test_random_weights_of_the_discriminator_are_its_initial_ones():
    options = dict(layer="1", filters=True, device="cpu")
    trained, first, second = (
        load_subject(VisualizeConfig(random=random, **options)) for random in (False, True, True)
    )
    pairs = zip(
        *(subject.network.parameters() for subject in (trained, first, second)), strict=True
    )
    for weights, one, two in pairs:
        assert weights.shape == one.shape and torch.equal(one, two)
        assert not one.any() or not torch.equal(weights, one)  # biases begin with 0
    assert first.image_shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "AttributeError: .*nothing"),
        ("broken", "RuntimeError: it is broken"),
        ("number", "returns a int, no torch.nn.Module"),
    ],
)
def test_mistakes_in_code_take_one_line(own_code, name, words):
    with pytest.raises(UserError, match=f"--network own_networks:{name}.*{words}") as caught:
        load_subject(config(name))
    assert "\n" not in str(caught.value)


def test_a_missing_module_is_named():
    with pytest.raises(UserError, match="--network no_such_module:f: ModuleNotFoundError"):
        load_subject(VisualizeConfig(network="no_such_module:f", filters=True))


def test_weights_that_do_not_fit_are_named(own_code):
    good = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)).state_dict()
    cases = {
        "it lacks 0.bias": {k: v for k, v in good.items() if k != "0.bias"},
        "it has the unknown 9.bias": good | {"9.bias": torch.zeros(1)},
        "it has other shapes of 0.weight": good | {"0.weight": torch.zeros(4, 1, 5, 5)},
    }
    for words, tensors in cases.items():
        save_file(tensors, "w.safetensors")
        with pytest.raises(UserError, match=f"w.safetensors does not fit.*{words}"):
            load_subject(config("build", weights="w.safetensors"))
    (own_code / "w.safetensors").write_bytes(b"PK" * 99)
    with pytest.raises(UserError, match="is no safetensors file"):
        load_subject(config("build", weights="w.safetensors"))
    with pytest.raises(UserError, match="no such file"):
        load_subject(config("build", weights="v.safetensors"))


def test_networks_that_cannot_begin_anew_are_named(own_code):
    with pytest.raises(UserError, match="--random: the module Own has parameters and no method"):
        load_subject(config("Own", random=True))


def test_data_of_another_shape_are_refused():
    with pytest.raises(UserError, match="images of 1x64x64, and D of faces takes 3x64x64"):
        load_subject(VisualizeConfig(data="x"), (1, 64, 64))
    with pytest.raises(UsageError, match="--size 32: the images of --data have 64 pixels"):
        load_subject(VisualizeConfig(network="own:f", data="x", size=32), (3, 64, 64))
