"""Parsing --label, and the labels of seeds."""

import unicodedata

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dcgan.errors import UsageError
from dcgan.latent import Labels, label_counts
from dcgan.latent.label_counts import count_attributes


def attributes(*rows, names=("Smiling", "hat")):
    return Labels.from_images("attributes", names, np.array(rows, np.uint8))


def classes(*indices, names=("cat", "dog", "fox")):
    return Labels.from_images("class", names, np.array(indices, np.int64))


SOME = attributes([0, 0], [0, 1], [0, 0], [1, 1])
PETS = classes(0, 1)


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
        classes(*range(1000), names=names).parse("x")
    assert len(str(caught.value)) < 200 and str(caught.value).endswith(", ...")


def test_names_may_contain_commas_and_differ_only_in_case():
    folders = classes(0, names=("cats, dogs", "Rest", "rest"))
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
            assert classes(0, names=names).parse(wanted) == {0: 1.0}


def test_names_that_differ_only_in_case_can_be_listed():
    names = ("hat", "Hat", "Smiling")
    mixed = attributes([0, 0, 0], names=names)
    assert mixed.parse("hat=1,Hat=0,smiling") == {0: 1.0, 1: 0.0, 2: 1.0}


def test_names_may_contain_equals_signs():
    assert classes(0, names=("a=1", "b=2")).parse("A=1") == {0: 1.0}
    assert classes(0, names=("a=1", "b=2")).parse("b=2=1") == {1: 1.0}
    both = attributes([1, 1], names=("a=b", "hat"))
    assert both.parse("a=b=0, hat") == {0: 0.0, 1: 1.0}


def test_the_labels_of_a_seed_do_not_depend_on_other_seeds():
    whole = SOME.from_seeds(range(50))
    assert whole.dtype == torch.float32 and whole.shape == (50, 2)
    assert torch.equal(SOME.from_seeds([31, 7]), whole[[31, 7]])


def p_value(found: np.ndarray, counts: np.ndarray) -> float:
    """Of Pearson's chi-square test that `found` are draws in proportion to `counts`."""
    assert not found[counts == 0].any()
    expected = counts[counts > 0] / counts.sum() * found.sum()
    return scipy.stats.chisquare(found[counts > 0], expected).pvalue


@pytest.mark.parametrize(
    ("shape", "seeds"), [("balanced", 50_000), ("unlike", 20_000), ("absent", 20_000)]
)
def test_classes_are_as_frequent_as_in_the_data(shape, seeds):
    """1,000 classes; the commonest of unlike ones has a seventh of the images."""
    counts = np.full(1000, 13)
    if shape == "unlike":
        counts = np.random.default_rng(0).permutation(100_000 // np.arange(1, 1001))
    if shape == "absent":
        counts[::3] = counts[-1] = 0
    images = np.random.default_rng(1).permutation(np.repeat(np.arange(1000), counts))
    labels = classes(*images, names=tuple(f"c{i}" for i in range(1000))).from_seeds(range(seeds))
    assert labels.sum(1).eq(1).all()
    found = labels.sum(0).long().numpy()
    assert shape == "unlike" or ((found > 0) == (counts > 0)).all()
    assert 1e-3 < p_value(found, counts) < 1 - 1e-3


def codes(labels: torch.Tensor) -> np.ndarray:
    """The combination of attributes of each row as a number."""
    return (labels.long().numpy() << np.arange(labels.shape[1])).sum(1)


def test_combinations_are_as_frequent_as_in_the_data():
    """Of ten attributes that depend on each other; 37 combinations are of one image in 20,000."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((20_000, 1)) + rng.standard_normal((20_000, 10)) / 2
    rows = (hidden > np.linspace(-1, 2, 10)).astype(np.uint8)
    names = tuple("abcdefghij")
    labels = attributes(*rows, names=names)
    counts = np.bincount(codes(torch.from_numpy(rows)), minlength=1024)
    found = np.bincount(codes(labels.from_seeds(range(20_000))), minlength=1024)
    assert 1e-3 < p_value(found, counts) < 1 - 1e-3
    rare = counts == 1
    assert rare.sum() == 37
    assert found[rare].sum() == pytest.approx(37, abs=3 * 37**0.5)


def test_the_other_attributes_are_those_of_images_with_the_fixed_ones():
    """Beards and lipstick: P(beard | male) is 0.4, and no female has one."""
    rows = [[1, 1, 0]] * 40 + [[1, 0, 0]] * 60 + [[0, 0, 1]] * 150 + [[0, 0, 0]] * 50
    labels = attributes(*rows, names=("male", "beard", "lipstick"))
    male = labels.from_seeds(range(4000), labels.parse("male"))
    assert male[:, 0].eq(1).all() and male[:, 2].eq(0).all()
    assert male[:, 1].mean().item() == pytest.approx(0.4, abs=0.03)
    female = labels.from_seeds(range(4000), labels.parse("male=0"))
    assert female[:, :2].eq(0).all()
    assert female[:, 2].mean().item() == pytest.approx(0.75, abs=0.03)
    bare = labels.from_seeds(range(4000), labels.parse("beard=0,lipstick=0"))
    assert bare[:, 0].mean().item() == pytest.approx(60 / 110, abs=0.03)


def test_a_combination_without_images_takes_the_rest_from_the_most_similar_ones():
    """No image has hat and beard. Those with one of the two decide on the third attribute."""
    rows = [[0, 0, 0]] * 90 + [[1, 0, 1]] * 6 + [[0, 1, 0]] * 4
    labels = attributes(*rows, names=("hat", "beard", "glasses"))
    asked = labels.from_seeds(range(4000), labels.parse("hat,beard"))
    assert asked[:, :2].eq(1).all()
    assert asked[:, 2].mean().item() == pytest.approx(0.6, abs=0.03)


def test_naming_labels_that_a_seed_has_changes_nothing():
    rows = np.random.default_rng(0).integers(0, 2, (100, 6), dtype=np.uint8)
    labels = attributes(*rows, names=tuple("abcdef"))
    free = labels.from_seeds(range(200))
    asked = labels.from_seeds(range(200), labels.parse("b,e=0"))
    same = free[:, 1].eq(1) & free[:, 4].eq(0)
    assert 20 < same.sum() < 90
    assert torch.equal(asked[same], free[same])
    assert torch.equal(labels.from_seeds([31, 7], labels.parse("b,e=0")), asked[[31, 7]])


def test_a_fixed_class_replaces_the_class_of_the_seed():
    asked = PETS.from_seeds(range(9), PETS.parse("fox"))
    assert torch.equal(asked, torch.tensor([0.0, 0, 1]).expand(9, 3))


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 20).flatmap(
        lambda names: arrays(
            np.uint8, st.tuples(st.integers(1, 30), st.just(names)), elements=st.integers(0, 1)
        )
    ),
    st.integers(1, 40),
)
def test_combinations_are_counted_in_chunks_of_any_length(rows, chunk_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_counts, "_CHUNK_BYTES", chunk_bytes)
        packed, counts = count_attributes(rows)
    expected, expected_counts = np.unique(rows, axis=0, return_counts=True)
    np.testing.assert_array_equal(np.unpackbits(packed, axis=1, count=rows.shape[1]), expected)
    np.testing.assert_array_equal(counts, expected_counts)
    assert (packed.dtype, counts.dtype) == (np.uint8, np.int64)


def test_too_many_combinations_are_those_of_random_images(monkeypatch):
    """The memory is bounded, and the frequencies of the attributes are kept."""
    monkeypatch.setattr(label_counts, "MAX_ROW_BYTES", 11 * 4000)
    monkeypatch.setattr(label_counts, "_CHUNK_BYTES", 10_000)
    share = np.array([0.02, 0.5, 0.9] + [0.5] * 17)
    rows = (np.random.default_rng(0).random((20_000, 20)) < share).astype(np.uint8)
    rows = rows[np.lexsort(rows.T)]  # the first images must not stand for all
    packed, counts = count_attributes(rows)
    assert counts.sum() == 4000 and packed.nbytes + counts.nbytes <= 11 * 4000
    bits = np.unpackbits(packed, axis=1, count=20)
    np.testing.assert_allclose(counts @ bits / 4000, rows.mean(0), atol=0.03)
    assert {row.tobytes() for row in bits} <= {row.tobytes() for row in rows}


def test_the_variance_of_labels():
    assert classes(*[0] * 6, *[1] * 3, 2).variance() == pytest.approx(0.24 + 0.21 + 0.09)
    rows = np.random.default_rng(0).integers(0, 2, (50, 11), dtype=np.uint8)
    labels = attributes(*rows, names=tuple("abcdefghijk"))
    assert labels.variance() == pytest.approx(rows.var(0).sum())


def test_labels_survive_a_checkpoint():
    for labels in (SOME, PETS):
        copy = Labels.from_checkpoint(labels.header(), labels.tensors())
        assert (copy.kind, copy.names) == (labels.kind, labels.names)
        assert torch.equal(copy.from_seeds(range(99)), labels.from_seeds(range(99)))


def test_rows_of_random_images_in_earlier_checkpoints_are_counted():
    names = ["a", "b", "c"]
    examples = torch.tensor([[1, 0, 0], [0, 0, 1], [0, 0, 1]], dtype=torch.uint8)
    for kind in ("class", "attributes"):
        labels = Labels.from_checkpoint({"kind": kind, "names": names}, {"examples": examples})
        found = labels.from_seeds(range(3000))
        assert found[:, 1].eq(0).all() and found.sum(1).eq(1).all()
        assert found[:, 2].mean().item() == pytest.approx(2 / 3, abs=0.03)


def test_a_checkpoint_with_impossible_counts_is_refused():
    counts, rows = torch.tensor([3, 0, 2]), torch.tensor([[0], [64]], dtype=torch.uint8)
    pets, some = PETS.header(), SOME.header()
    assert Labels.from_checkpoint(pets, {"counts": counts}).counts.tolist() == [3, 0, 2]
    for tensors in (
        {"counts": torch.tensor([3, -1, 2])},
        {"counts": torch.tensor([2**62, 2**62, 0])},
        {"counts": torch.tensor([2**63 - 1, 2**63 - 1, 4])},
        {"counts": 0 * counts},
        {"counts": counts[:2]},
        {"counts": counts[:0]},
        {"counts": counts[None]},
        {"counts": counts.int()},
        {"counts": counts.double()},
        {"counts": counts.bfloat16()},
        {"counts": counts, "rows": rows},
        {"rows": rows},
        {},
    ):
        with pytest.raises(ValueError, match="its labels contradict each other"):
            Labels.from_checkpoint(pets, tensors)
    counts = torch.tensor([3, 2])
    assert Labels.from_checkpoint(some, {"counts": counts, "rows": rows}).counts.tolist() == [3, 2]
    for tensors in (
        {"counts": counts},
        {"counts": torch.tensor([3, 0]), "rows": rows},
        {"counts": counts, "rows": rows[:1]},
        {"counts": counts, "rows": rows.expand(2, 2)},
        {"counts": counts, "rows": rows.flatten()},
        {"counts": counts, "rows": rows.char()},
        {"counts": counts, "rows": rows + 1},  # in the bits that fill up a byte
        {"counts": counts[:0], "rows": rows[:0]},
    ):
        with pytest.raises(ValueError, match="its labels contradict each other"):
            Labels.from_checkpoint(some, tensors)
