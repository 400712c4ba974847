"""Parsing --label, and the labels of seeds."""

import unicodedata

import pytest
import torch

from dcgan.errors import UsageError
from dcgan.latent import Labels


def attributes(*rows):
    return Labels("attributes", ("Smiling", "hat"), torch.tensor(rows, dtype=torch.uint8))


def classes(*rows, names=("cat", "dog", "fox")):
    return Labels("class", names, torch.tensor(rows, dtype=torch.uint8))


SOME = attributes([0, 0], [0, 1], [0, 0], [1, 1])
PETS = classes([1, 0, 0], [0, 1, 0])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("smiling=1,hat=0", {0: 1.0, 1: 0.0}),
        ("Smiling", {0: 1.0}),
        (" HAT = 0 ", {1: 0.0}),
        ("hat=1,Hat", {1: 1.0}),
    ],
)
def test_names_and_values_become_indices(wanted, found):
    assert SOME.parse(wanted) == found


@pytest.mark.parametrize("wanted", ["dog", "DOG", "dog=1"])
def test_the_name_of_a_class_is_a_label(wanted):
    assert PETS.parse(wanted) == {1: 1.0}


@pytest.mark.parametrize(
    ("labels", "wanted", "complaint"),
    [
        (SOME, "beard", "no label 'beard'; one of Smiling, hat"),
        (SOME, "", "no label ''"),
        (SOME, "smiling=1,", "no label ''"),
        (SOME, "smiling=yes", "write smiling=1 or smiling=0"),
        (SOME, "smiling=0.5", "write smiling=1"),
        (SOME, "hat=1,smiling,Hat=0", "Hat cannot be both 1 and 0"),
        (SOME, "=1", "no label ''"),
        (PETS, "wolf", "no label 'wolf'; one of cat, dog, fox"),
        (PETS, "dog=0", "name the one class"),
        (PETS, "dog,cat", "name the one class"),
    ],
)
def test_an_unusable_label_is_refused_in_one_line(labels, wanted, complaint):
    with pytest.raises(UsageError, match=complaint) as caught:
        labels.parse(wanted)
    assert str(caught.value).startswith(f"--label {wanted}: ")
    assert "\n" not in str(caught.value)


def test_an_error_does_not_list_every_one_of_many_names():
    names = tuple(f"c{i}" for i in range(1000))
    with pytest.raises(UsageError) as caught:
        Labels("class", names, torch.eye(1000, dtype=torch.uint8)).parse("x")
    assert len(str(caught.value)) < 200 and str(caught.value).endswith(", ...")


def test_names_may_contain_commas_and_differ_only_in_case():
    folders = classes([1, 0, 0], names=("cats, dogs", "Rest", "rest"))
    assert folders.parse("cats, dogs") == {0: 1.0}
    assert folders.parse("Rest") == {1: 1.0}
    assert folders.parse("rest") == {2: 1.0}
    assert folders.parse("cats, dogs=1") == {0: 1.0}
    assert folders.parse("Cats, Dogs") == {0: 1.0}


def test_names_match_in_either_unicode_normal_form():
    """macOS decomposes accents in the names of folders; other systems do not."""
    for stored in ("NFC", "NFD"):
        names = (unicodedata.normalize(stored, "Ünï"), "Rest")
        for asked in ("NFC", "NFD"):
            wanted = unicodedata.normalize(asked, "ünï")
            assert classes([1, 0], names=names).parse(wanted) == {0: 1.0}


def test_names_that_differ_only_in_case_can_be_listed():
    names = ("hat", "Hat", "Smiling")
    mixed = Labels("attributes", names, torch.zeros(1, 3, dtype=torch.uint8))
    assert mixed.parse("hat=1,Hat=0,smiling") == {0: 1.0, 1: 0.0, 2: 1.0}


def test_names_may_contain_equals_signs():
    assert classes([1, 0], names=("a=1", "b=2")).parse("A=1") == {0: 1.0}
    assert classes([1, 0], names=("a=1", "b=2")).parse("b=2=1") == {1: 1.0}
    both = Labels("attributes", ("a=b", "hat"), torch.ones(1, 2, dtype=torch.uint8))
    assert both.parse("a=b=0, hat") == {0: 0.0, 1: 1.0}


def test_the_labels_of_a_seed_do_not_depend_on_other_seeds():
    whole = SOME.from_seeds(range(50))
    assert whole.dtype == torch.float32 and whole.shape == (50, 2)
    assert torch.equal(SOME.from_seeds([31, 7]), whole[[31, 7]])


def test_combinations_are_as_frequent_as_in_the_data():
    labels = SOME.from_seeds(range(2000))
    found = {
        (s, h): ((labels == torch.tensor([s, h])).all(1)).float().mean().item()
        for s in (0.0, 1.0)
        for h in (0.0, 1.0)
    }
    assert found[1, 0] == 0, "no image has this combination"
    for combination, share in (((0, 0), 0.5), ((0, 1), 0.25), ((1, 1), 0.25)):
        assert found[combination] == pytest.approx(share, abs=0.04)


def test_fixed_attributes_leave_the_others_as_they_are():
    free, asked = SOME.from_seeds(range(100)), SOME.from_seeds(range(100), SOME.parse("smiling"))
    assert asked[:, 0].eq(1).all()
    assert torch.equal(asked[:, 1], free[:, 1])
    assert SOME.examples.max() == 1 and SOME.examples[0].sum() == 0, "the examples must not change"


def test_a_fixed_class_replaces_the_class_of_the_seed():
    asked = PETS.from_seeds(range(9), PETS.parse("fox"))
    assert torch.equal(asked, torch.tensor([0.0, 0, 1]).expand(9, 3))
