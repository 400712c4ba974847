"""The numbers of the table, counted by hand."""

from types import SimpleNamespace

import pytest
import torch

from dcgan.deconv.forget import Observer, Seen, compare
from dcgan.deconv.forget.effects import average


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
    assert change.without.flips == (0, 0, 0)
    mean = average([change, compare(observer, (before, lacked), (before, lacked))])
    assert mean.gone == 0.375
    assert mean.with_object.flips == (0, 0.375, 0.125)
