"""Asking for labels: what words mean, and what a seed has where nothing is asked for."""

import unicodedata

import pytest
import torch

from dcgan.errors import UsageError
from dcgan.latent.labels import UNCONDITIONAL, Conditions


def attributes(*rows):
    return Conditions("attributes", ("Smiling", "hat"), torch.tensor(rows, dtype=torch.uint8))


def classes(*rows, names=("cat", "dog", "fox")):
    return Conditions("class", names, torch.tensor(rows, dtype=torch.uint8))


SOME = attributes([0, 0], [0, 1], [0, 0], [1, 1])
PETS = classes([1, 0, 0], [0, 1, 0])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, {}),
        ("smiling=1,hat=0", {0: 1.0, 1: 0.0}),
        ("Smiling", {0: 1.0}),
        (" HAT = 0 ", {1: 0.0}),
        ("hat=1,Hat", {1: 1.0}),
    ],
)
def test_words_are_labels(wanted, found):
    assert SOME.parsed(wanted) == found


@pytest.mark.parametrize("wanted", ["dog", "DOG", "dog=1"])
def test_one_word_is_a_class(wanted):
    assert PETS.parsed(wanted) == {1: 1.0}


@pytest.mark.parametrize(
    ("conditions", "wanted", "complaint"),
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
        (UNCONDITIONAL, "dog", "not trained with --conditional"),
    ],
)
def test_other_words_are_refused_in_one_line(conditions, wanted, complaint):
    with pytest.raises(UsageError, match=complaint) as caught:
        conditions.of_seeds([0], wanted)
    assert str(caught.value).startswith(f"--label {wanted}: ")
    assert "\n" not in str(caught.value)


def test_many_names_are_not_all_listed():
    names = tuple(f"c{i}" for i in range(1000))
    with pytest.raises(UsageError) as caught:
        Conditions("class", names, torch.eye(1000, dtype=torch.uint8)).parsed("x")
    assert len(str(caught.value)) < 200 and str(caught.value).endswith(", ...")


def test_names_of_folders_may_hold_commas_and_differ_in_case_alone():
    folders = classes([1, 0, 0], names=("cats, dogs", "Rest", "rest"))
    assert folders.parsed("cats, dogs") == {0: 1.0}
    assert folders.parsed("Rest") == {1: 1.0}
    assert folders.parsed("rest") == {2: 1.0}
    assert folders.parsed("cats, dogs=1") == {0: 1.0}
    assert folders.parsed("Cats, Dogs") == {0: 1.0}


def test_accents_are_the_same_however_they_are_encoded():
    """As folders of macOS and of other systems have them."""
    for stored in ("NFC", "NFD"):
        names = (unicodedata.normalize(stored, "Ünï"), "Rest")
        for asked in ("NFC", "NFD"):
            wanted = unicodedata.normalize(asked, "ünï")
            assert classes([1, 0], names=names).parsed(wanted) == {0: 1.0}


def test_names_that_differ_in_case_alone_are_told_apart_in_a_list_too():
    names = ("hat", "Hat", "Smiling")
    mixed = Conditions("attributes", names, torch.zeros(1, 3, dtype=torch.uint8))
    assert mixed.parsed("hat=1,Hat=0,smiling") == {0: 1.0, 1: 0.0, 2: 1.0}


def test_names_may_hold_equals_signs():
    assert classes([1, 0], names=("a=1", "b=2")).parsed("A=1") == {0: 1.0}
    assert classes([1, 0], names=("a=1", "b=2")).parsed("b=2=1") == {1: 1.0}
    both = Conditions("attributes", ("a=b", "hat"), torch.ones(1, 2, dtype=torch.uint8))
    assert both.parsed("a=b=0, hat") == {0: 0.0, 1: 1.0}


def test_a_seed_has_the_same_labels_whatever_it_is_drawn_with():
    whole = SOME.of_seeds(range(50))
    assert whole.dtype == torch.float32 and whole.shape == (50, 2)
    assert torch.equal(SOME.of_seeds([31, 7]), whole[[31, 7]])


def test_seeds_have_combinations_as_frequent_as_in_the_data():
    labels = SOME.of_seeds(range(2000))
    found = {
        (s, h): ((labels == torch.tensor([s, h])).all(1)).float().mean().item()
        for s in (0.0, 1.0)
        for h in (0.0, 1.0)
    }
    assert found[1, 0] == 0, "no image has that"
    for combination, share in (((0, 0), 0.5), ((0, 1), 0.25), ((1, 1), 0.25)):
        assert found[combination] == pytest.approx(share, abs=0.04)


def test_what_is_asked_for_replaces_that_alone():
    free, asked = SOME.of_seeds(range(100)), SOME.of_seeds(range(100), "smiling")
    assert asked[:, 0].eq(1).all()
    assert torch.equal(asked[:, 1], free[:, 1])
    assert SOME.examples.max() == 1 and SOME.examples[0].sum() == 0, "examples stay as they are"


def test_a_class_that_is_asked_for_is_the_only_one():
    assert torch.equal(PETS.of_seeds(range(9), "fox"), torch.tensor([0.0, 0, 1]).expand(9, 3))


def test_without_labels_there_are_no_columns():
    assert UNCONDITIONAL.of_seeds(range(5)).shape == (5, 0)
