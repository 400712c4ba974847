"""The scores of segmentation against counts of sets of pixels, and by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dcgan.data import IGNORED
from dcgan.deconv.fcn import ConfusionMatrix

CPU = torch.device("cpu")
NAMES = ("background", "cat", "dog", "cow")


def scores_of(truth, predicted, names=NAMES, parts=1):
    matrix = ConfusionMatrix(names, CPU)
    for mask, guess in zip(
        np.array_split(np.array(truth), parts),
        np.array_split(np.array(predicted), parts),
        strict=True,
    ):
        matrix.add(torch.as_tensor(mask), torch.as_tensor(guess))
    return matrix.scores()


def by_sets(truth: list[int], predicted: list[int]) -> dict[str, float]:
    """The definitions of the paper, class by class, over sets of pixels."""
    pixels = {p for p, value in enumerate(truth) if value != IGNORED}
    accuracies, ious, weighted = [], [], 0.0
    for label in range(len(NAMES)):
        is_it = {p for p in pixels if truth[p] == label}
        said = {p for p in pixels if predicted[p] == label}
        if is_it:
            accuracies.append(len(is_it & said) / len(is_it))
            weighted += len(is_it) / len(pixels) * len(is_it & said) / len(is_it | said)
        if is_it | said:
            ious.append(len(is_it & said) / len(is_it | said))
    right = sum(truth[p] == predicted[p] for p in pixels)
    return {
        "pixel_accuracy": right / len(pixels),
        "mean_accuracy": sum(accuracies) / len(accuracies),
        "mean_iu": sum(ious) / len(ious),
        "frequency_weighted_iu": weighted,
    }


pairs = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 3, IGNORED]), st.integers(0, 3)), min_size=1, max_size=40
).filter(lambda found: any(value != IGNORED for value, _ in found))


@given(pairs, st.integers(1, 4))
def test_scores_are_those_of_the_sets_of_pixels(found, parts):
    truth, predicted = map(list, zip(*found, strict=True))
    scores = scores_of(truth, predicted, parts=parts)
    for name, value in by_sets(truth, predicted).items():
        assert getattr(scores, name) == pytest.approx(value, abs=1e-12), name


def test_an_example_by_hand():
    """Truth 0 0 0 0 1 1 2, predicted 0 0 0 1 1 0 2, and an ignored pixel that is predicted 2."""
    scores = scores_of([0, 0, 0, 0, 1, 1, 2, IGNORED], [0, 0, 0, 1, 1, 0, 2, 2])
    assert scores.pixel_accuracy == pytest.approx(5 / 7)
    assert scores.accuracy[:3] == pytest.approx((3 / 4, 1 / 2, 1))
    assert scores.iu[:3] == pytest.approx((3 / 5, 1 / 3, 1))
    assert scores.mean_iu == pytest.approx((3 / 5 + 1 / 3 + 1) / 3)
    assert scores.frequency_weighted_iu == pytest.approx((4 * 3 / 5 + 2 / 3 + 1) / 7)
    assert scores.shares == pytest.approx((4 / 7, 2 / 7, 1 / 7, 0))


def test_a_class_absent_from_both_is_left_out_and_one_predicted_in_vain_counts_as_zero():
    scores = scores_of([0, 0, 1, 1], [0, 0, 1, 2])
    assert math.isnan(scores.iu[3]) and math.isnan(scores.accuracy[3])
    assert scores.iu[2] == 0 and math.isnan(scores.accuracy[2])
    assert scores.mean_iu == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert scores.mean_accuracy == pytest.approx((1 + 1 / 2) / 2)


def test_masks_may_have_any_type_of_integer():
    """255 classes times a class of uint8 would wrap around."""
    names = tuple(map(str, range(255)))
    truth = torch.tensor([[254, 0, IGNORED]], dtype=torch.uint8)
    matrix = ConfusionMatrix(names, CPU)
    matrix.add(truth, torch.tensor([[254, 0, 7]], dtype=torch.uint8))
    assert matrix.counts[254, 254] == 1 and matrix.counts.sum() == 2
    assert matrix.scores().mean_iu == 1


def test_nothing_to_score_is_no_number():
    for scores in (ConfusionMatrix(NAMES, CPU).scores(), scores_of([IGNORED], [2])):
        assert math.isnan(scores.mean_iu) and math.isnan(scores.pixel_accuracy)
        assert math.isnan(scores.frequency_weighted_iu) and math.isnan(scores.mean_accuracy)
        assert scores.lines()[1].split() == ["background", "-", "-", "-"]


def test_the_table_has_a_line_for_each_class():
    lines = scores_of([0, 0, 1, 1], [0, 0, 1, 2]).lines()
    assert lines == [
        "class          share %  accuracy %        IU %",
        "background        50.0       100.0       100.0",
        "cat               50.0        50.0        50.0",
        "dog                0.0           -         0.0",
        "cow                0.0           -           -",
        "pixel accuracy 75.0 %, mean accuracy 75.0 %, mean IU 50.0 %, frequency-weighted IU 75.0 %",
    ]
