"""What the page sends, which may be anything that JSON can hold."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcgan.demo.controls import FARTHEST, OPEN, Controls, read_controls, read_number, read_seeds
from dcgan.errors import UserError
from tests.demo.serving import tiny_model

MODELS = {kind: tiny_model(kind) for kind in ("class", "attributes", "uniform")}
# As the page sends them at first.
AT_FIRST = {
    "class": [3.0, OPEN, 0, 0, 0],
    "attributes": [3.0, OPEN, OPEN, 0, 0, 0],
    "uniform": [1.0, 0, 0, 0],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("kind", MODELS)
def test_at_first_nothing_is_truncated_chosen_or_moved(kind):
    assert read_controls(MODELS[kind], AT_FIRST[kind]) == Controls(None, {}, 0.0, (0.0, 0.0))


def test_boxes_and_sliders_are_read_in_their_order():
    found = read_controls(MODELS["class"], [0.7, 2, -1, 0.5, 2])
    assert found == Controls(0.7, {2: 1.0}, -1.0, (0.5, 2.0))
    found = read_controls(MODELS["attributes"], [3, "no", "yes", 0, -2, 0])
    assert found == Controls(None, {0: 0.0, 1: 1.0}, 0.0, (-2.0, 0.0))
    assert read_controls(MODELS["uniform"], [0.5, 0, 0, 0]).truncation == 0.5


@pytest.mark.parametrize("kind", MODELS)
@given(st.data())
def test_all_other_values_are_refused_in_words(kind, data):
    values = list(AT_FIRST[kind])
    place = data.draw(st.integers(0, len(values) - 1))
    values[place] = data.draw(JSON)
    with contextlib.suppress(UserError):
        found = read_controls(MODELS[kind], values)
        assert all(abs(amount) <= FARTHEST for amount in (found.own, *found.amounts))
        assert found.truncation is None or 0.1 <= found.truncation < 3
        assert set(found.labels.values()) <= {0.0, 1.0}


@pytest.mark.parametrize("index", [-1, 3, 10**30, True, "1", 1.0, "cat"])
def test_a_class_that_is_not_listed_is_refused(index):
    with pytest.raises(UserError, match="no class"):
        read_controls(MODELS["class"], [3.0, index, 0, 0, 0])


@pytest.mark.parametrize("values", [[], [3.0], [3.0, OPEN, 0, 0, 0, 0]])
def test_values_of_another_page_are_refused(values):
    with pytest.raises(UserError, match="load it again"):
        read_controls(MODELS["class"], values)


@pytest.mark.parametrize("value", [2.01, -2.01, float("nan"), float("inf"), True, "1", None, [1]])
def test_a_number_outside_of_its_range_is_refused(value):
    with pytest.raises(UserError, match="smile must be a number from -2 to 2, not "):
        read_number(value, "smile", -2, 2)


def test_seeds_are_those_of_the_command_line_but_few():
    assert read_seeds(" 3,14-16 ") == [3, 14, 15, 16]
    with pytest.raises(UserError, match="65 seeds: at most 64"):
        read_seeds("0-64")
    for text in ("", "-1", "1e3", "__import__('os')", "9" * 20, 3, None, ["1"], "1," * 10_000):
        with pytest.raises(UserError):
            read_seeds(text)
