"""The numbers of the table, counted by hand."""

from types import SimpleNamespace

import pytest
import torch

from dcgan.config import ForgetConfig
from dcgan.deconv.forget import Observer, Seen, command, compare
from dcgan.deconv.forget.effects import average
from dcgan.explore.classifier import LabelClassifier
from dcgan.networks import Classifier


def seen(pixels, masks, logits=None):
    """Four images of 2x2 grey pixels."""
    pixels = torch.tensor(pixels, dtype=torch.uint8).expand(4, 2, 2).unsqueeze(3)
    return Seen(pixels, torch.tensor(masks).bool().reshape(4, 2, 2), logits)


HAD = [[1, 1, 0, 0]] * 4


def test_without_a_classifier_pixels_decide():
    before = seen([[100, 100], [100, 100]], HAD)
    after = seen([[0, 0], [103, 100]], [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    change = compare(Observer(None, 1), (before, None), (after, None))
    assert change.gone == 0.5
    assert change.left == pytest.approx(3 / 8)
    assert change.elsewhere == pytest.approx(1.5)  # the two pixels below, by 3 and 0
    assert change.with_object is None and change.without is None


def test_with_a_classifier_its_labels_decide():
    observer = Observer(None, 1, SimpleNamespace(), label=1)
    logits = torch.tensor([[1.0, 2.0, -1.0]]).repeat(4, 1)
    changed = logits.clone()
    changed[:3, 1] = -1  # gone in three of four
    changed[0, 2] = 1  # and another label in one
    lacked = seen([[0, 0], [0, 0]], [[0] * 4] * 4, -logits)
    before = seen([[9, 9], [9, 9]], HAD, logits)
    after = seen([[9, 9], [9, 9]], HAD, changed)
    change = compare(observer, (before, lacked), (after, lacked))
    assert change.gone == 0.75 and change.left == 1 and change.elsewhere == 0
    assert change.with_object.flips == (0, 0.75, 0.25)
    assert change.sure.flips == (0, 0.75, 0)  # a logit of -1 is not sure
    assert change.without.flips == (0, 0, 0)
    mean = average([change, compare(observer, (before, lacked), (before, lacked))])
    assert mean.gone == 0.375
    assert mean.with_object.flips == (0, 0.375, 0.125)


@pytest.mark.parametrize(
    ("wanted", "attribute", "label"),
    [
        ("glasses", None, 0),  # eyeglasses
        ("hat", None, 1),  # the same name counts before one that contains it
        ("beard", None, None),  # of two that contain it, neither
        ("owl", None, None),
        ("owl", "sun hat", 2),
    ],
)
def test_the_label_of_an_object_is_the_one_that_has_its_name(wanted, attribute, label):
    names = ("Eyeglasses", "hat", "sun hat", "beard grey", "beard red")
    classifier = LabelClassifier(Classifier(16, 3, 5, 4), "attributes", names, (), "", {})
    config = ForgetConfig(checkpoint="r", object=wanted, segmenter="s", attribute=attribute)
    assert command._label(classifier, config) == label
