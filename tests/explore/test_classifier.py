"""The classifier: what it learns, and what its file holds."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dcgan.data.packed import open_packed
from dcgan.errors import UsageError, UserError
from dcgan.explore import classifier_training
from dcgan.explore.classifier import LabelClassifier, load_classifier, save_classifier
from dcgan.explore.classifier_training import train_classifier
from dcgan.networks import Classifier, Generator
from dcgan.runs.checkpoint import checksum
from tests.conftest import write_packed

NAMES = ("bright", "left", "odd")


def shapes(count: int, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Noise that is bright or dark, with a light bar at the left or at the right; "odd" excludes
    "bright". Mirrored images would have another label.
    """
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (count, 3), dtype=np.uint8)
    labels[:, 2] &= ~labels[:, 0] & 1
    images = rng.integers(0, 60, (count, size, size, 3)) + 80 * labels[:, :1, None, None]
    for image, (_, left, odd) in zip(images, labels, strict=True):
        image[:, 2:6] += 90 * left
        image[:, -6:-2] += 90 * (1 - left)
        image[6:10] += 60 * odd
    return images.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    images, labels = shapes(400)
    folder = tmp_path_factory.mktemp("shapes") / "packed"
    return open_packed(write_packed(folder, images, labels, NAMES, "attributes"))


@pytest.fixture(scope="module")
def trained(packed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier_training, "_STEPS", 60)
        return train_classifier(packed)


def test_it_learns_labels_that_a_mirror_would_change(packed, trained):
    assert min(trained.accuracy.values()) >= 0.95 and set(trained.accuracy) == set(NAMES)
    logits = trained.logits(trained.outputs([packed.images[:200]]))
    right = (logits.numpy() > 0) == packed.labels[:200]
    assert right.mean(0).min() > 0.95
    assert trained.exclusive == ((0, 2),)
    assert [trained.tied_to(i) for i in range(3)] == [[2], [], [0]]


def test_the_same_seed_gives_the_same_classifier(packed, monkeypatch):
    monkeypatch.setattr(classifier_training, "_STEPS", 3)
    first, again, other = (train_classifier(packed, seed=seed) for seed in (1, 1, 2))
    for name, value in first.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], value)
    assert not torch.equal(other.network.head.weight, first.network.head.weight)


def test_larger_images_are_averaged(trained):
    x = torch.rand(2, 3, 16, 16)
    large = x.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.allclose(trained.network(large), trained.network(x), atol=1e-5)


def test_log_odds_of_classes_are_above_zero_for_the_likely_class_alone():
    of_classes = LabelClassifier(Classifier(8, 1, 3, 2), "class", ("a", "b", "c"), (), "", {})
    outputs = torch.tensor([[2.0, 0.0, -1.0], [1.0, 1.0, 0.0]])
    probability = outputs.softmax(1)
    expected = (probability / (1 - probability)).log()
    assert torch.allclose(of_classes.logits(outputs), expected, atol=1e-5)
    assert of_classes.tied_to(1) == [0, 2]


def test_a_file_holds_the_same_classifier_in_half_precision(trained, packed, tmp_path):
    save_classifier(tmp_path / "c.safetensors", trained)
    loaded = load_classifier(tmp_path / "c.safetensors")
    for name in ("kind", "names", "value_names", "fingerprint", "accuracy", "exclusive"):
        assert getattr(loaded, name) == getattr(trained, name)
    ours, theirs = (c.outputs([packed.images[:50]]) for c in (trained, loaded))
    assert (ours - theirs).abs().max() < 0.05
    assert loaded.fingerprint == packed.fingerprint


def test_names_are_found_in_any_case_and_unknown_ones_listed(trained):
    assert trained.labels.index("Left", "--attribute") == 1
    with pytest.raises(UsageError, match="no label 'hat'; one of bright, left, odd"):
        trained.labels.index("hat", "--attribute")


def test_a_generator_of_other_images_is_refused(trained):
    trained.check_generator(Generator(32, width=1, latent_dim=2))
    for G in (Generator(8, width=1, latent_dim=2), Generator(16, 1, width=1, latent_dim=2)):
        with pytest.raises(UserError, match="for 3 x 16 x 16 images, and the generator draws"):
            trained.check_generator(G)


def rewrite(path, header=None, tensors=None):
    """Change a file and give it the checksum of what it holds then."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        found = json.loads(file.metadata()["dcgan"])
    text = json.dumps(found | (header or {}))
    held = load_file(path) | (tensors or {})
    save_file(held, path, {"dcgan": text, "sha256": checksum(text, held.items())})


@pytest.mark.parametrize(
    ("header", "tensors", "words"),
    [
        ({"size": 2**40}, {}, "--size must be"),
        ({"size": 32}, {}, "tensors do not match its header"),
        ({"names": ["a", "a", "b"]}, {}, "names are none, too many, or not unique"),
        ({"names": ["a", "\x1b[2J", "b"]}, {}, "no printable text"),
        ({"names": 3}, {}, "is not a usable file of a classifier"),
        ({"labels": "colours"}, {}, "neither classes nor attributes"),
        ({"accuracy": ["bright"]}, {}, "its header has another form"),
        ({"names": "abc"}, {}, "its header has another form"),
        ({"accuracy": {"bright": "high"}}, {}, "accuracies are not those"),
        ({"exclusive": [[0, 99]]}, {}, "pairs of labels"),
        ({"kind": "directions"}, {}, "it holds directions"),
        ({}, {"head.bias": torch.full((3,), torch.nan).half()}, "not finite"),
        ({}, {"head.bias": torch.zeros(3).to(torch.float8_e4m3fn)}, "is not a usable file"),
        ({}, {"more": torch.zeros(1)}, "tensors do not match its header"),
    ],
)
def test_files_that_are_none_are_refused_in_one_line(trained, tmp_path, header, tensors, words):
    path = tmp_path / "c.safetensors"
    save_classifier(path, trained)
    rewrite(path, header, tensors)
    with pytest.raises(UserError) as refused:
        load_classifier(path)
    assert words in str(refused.value) and str(path) in str(refused.value)


def test_a_changed_byte_and_foreign_files_are_refused(trained, tmp_path):
    path = tmp_path / "c.safetensors"
    save_classifier(path, trained)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="checksum does not match"):
        load_classifier(path)
    path.write_bytes(b"\x80\x02pickle")
    with pytest.raises(UserError, match="it is a pickle"):
        load_classifier(path)
    with pytest.raises(UserError, match="no such file"):
        load_classifier(tmp_path / "none.safetensors")


def test_images_without_labels_cannot_train_one(tmp_path):
    images, _ = shapes(30)
    packed = open_packed(write_packed(tmp_path / "p", images))
    with pytest.raises(UserError, match="have no labels: a classifier needs some"):
        train_classifier(packed)
