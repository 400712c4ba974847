"""The kernel distance against brute force and torch-fidelity, and its bias."""

import numpy as np
import pytest
import torch

from dcgan.evaluation import pairwise
from dcgan.evaluation.kernel_distance import polynomial_mmd
from tests.evaluation.features import normal


def kernel_matrix(x, y):
    return np.array([[(np.dot(a, b) / len(a) + 1) ** 3 for b in y] for a in x])


@pytest.mark.parametrize("elements", [1, 17, 2**24])
def test_pairs_of_a_feature_with_itself_are_left_out(monkeypatch, elements):
    monkeypatch.setattr(pairwise, "_MAX_BLOCK_ELEMENTS", elements)
    x, y = normal(9, 4, 6).numpy(), normal(7, 4, 7, shift=0.5).numpy()
    xx, yy, xy = kernel_matrix(x, x), kernel_matrix(y, y), kernel_matrix(x, y)
    expected = (xx.sum() - xx.trace()) / (9 * 8) + (yy.sum() - yy.trace()) / (7 * 6)
    expected -= 2 * xy.mean()
    found = polynomial_mmd(torch.from_numpy(x), torch.from_numpy(y))
    assert found == pytest.approx(expected, rel=1e-9)


def test_sets_of_the_same_distribution_are_at_distance_0_on_average():
    """The biased estimate would be above 0 every time."""
    values = [polynomial_mmd(normal(60, 8, 2 * i), normal(40, 8, 2 * i + 1)) for i in range(60)]
    standard_error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3.5 * standard_error
    assert min(values) < 0


def test_the_distance_equals_the_kid_of_torch_fidelity_on_one_whole_subset():
    metric_kid = pytest.importorskip("torch_fidelity.metric_kid")
    real, fake = normal(50, 16, 8), normal(50, 16, 9, scale=1.3, shift=0.2)
    found = metric_kid.kid_features_to_metric(
        fake, real, kid_subsets=1, kid_subset_size=50, verbose=False
    )
    expected = found["kernel_inception_distance_mean"]
    assert expected > 0.05, "the test must see something"
    assert polynomial_mmd(real, fake) == pytest.approx(expected, rel=1e-9)


def test_a_single_feature_is_refused():
    with pytest.raises(ValueError, match="N >= 2"):
        polynomial_mmd(torch.zeros(5, 3), torch.zeros(1, 3))
