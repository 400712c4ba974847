"""Files of directions, and their hostile relatives."""

import pytest
import torch

from dcgan.errors import UserError
from dcgan.explore.directions_file import (
    Directions,
    load_directions,
    save_directions,
)
from dcgan.networks import Generator, weights_hash
from tests.explore.test_classifier import rewrite


@pytest.fixture
def G():
    torch.manual_seed(0)
    return Generator(8, width=1, latent_dim=5).eval()


@pytest.fixture
def path(G, tmp_path):
    vectors = torch.eye(5)[:2]
    directions = Directions(("smiling", "hat"), vectors, (2.5, 1.0), "edit", weights_hash(G))
    save_directions(tmp_path / "d.safetensors", directions)
    return tmp_path / "d.safetensors"


def test_a_file_holds_names_vectors_steps_and_its_generator(G, path):
    found = load_directions(path, G)
    assert (found.names, found.steps, found.method) == (("smiling", "hat"), (2.5, 1.0), "edit")
    assert torch.equal(found.vectors, torch.eye(5)[:2])
    assert found.generator == weights_hash(G)
    with torch.no_grad():
        G.layers[0].weight[0, 0, 0, 0] += 1
    assert found.generator != weights_hash(G)


def test_directions_of_another_models_size_are_one_line(path):
    with pytest.raises(UserError) as refused:
        load_directions(path, Generator(8, width=1, latent_dim=7))
    assert str(refused.value) == (
        f"{path}: these directions have 5 numbers, and the latents of the generator 7: they are "
        f"of another model"
    )


@pytest.mark.parametrize(
    ("header", "tensors", "words"),
    [
        ({"names": ["smiling"]}, {}, "not as many names and steps as directions"),
        ({"names": ["a\nb", "c"]}, {}, "no printable text"),
        ({"steps": [1.0, "2"]}, {}, "a step is no number"),
        ({"steps": None}, {}, "not a usable file of directions"),
        ({"kind": "a classifier"}, {}, "it holds a classifier"),
        ({"format": 2}, {}, "another format"),
        ({}, {"directions": torch.zeros(5)}, "its directions have the shape [5]"),
        ({}, {"directions": torch.full((2, 5), torch.inf)}, "not finite"),
        ({}, {"more": torch.zeros(1)}, "it holds other tensors"),
    ],
)
def test_files_that_are_none_are_refused_in_one_line(path, header, tensors, words):
    rewrite(path, header, tensors)
    with pytest.raises(UserError) as refused:
        load_directions(path)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_checkpoint_holds_no_directions(run):
    path = next((run / "checkpoints").glob("*.safetensors"))
    with pytest.raises(UserError, match="it holds a checkpoint"):
        load_directions(path)
