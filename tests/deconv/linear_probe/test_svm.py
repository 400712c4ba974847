"""The SVM on inner products against scikit-learn's on the features themselves."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import LinearSVC

from dcgan.deconv.linear_probe.svm import LinearSvm, check_scikit_learn, predict
from dcgan.errors import UserError


def objective(rows, signs, weights, intercept, C) -> float:
    """Of the L2-SVM: |w|^2/2 + C sum max(0, 1 - y (w x + b))^2, and (b / 100)^2/2 of LIBLINEAR."""
    margins = np.maximum(0, 1 - signs * (rows @ weights + intercept))
    return (weights @ weights + (intercept / 100) ** 2) / 2 + C * (margins**2).sum()


@settings(deadline=None, max_examples=25)
@given(
    count=st.integers(4, 30),
    features=st.integers(1, 60),
    classes=st.integers(2, 4),
    C=st.sampled_from([1e-4, 1e-3, 1e-2]),
    seed=st.integers(0, 1000),
)
def test_it_minimises_the_objective_of_the_svm_on_all_features(count, features, classes, C, seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, features)).astype(np.float32)
    rows *= 100 / features**0.5
    labels = np.arange(count) % classes
    weights, intercepts = LinearSvm(rows, seed).fit(labels, C)
    outputs = classes if classes > 2 else 1
    assert weights.shape == (features, outputs) and intercepts.shape == (outputs,)
    exact = LinearSVC(C=C, dual=False, tol=1e-10, max_iter=100_000, intercept_scaling=100)
    exact.fit(rows.astype(float), labels)
    for k in range(outputs):
        signs = np.where(labels == (k if classes > 2 else 1), 1, -1)
        ours = objective(rows.astype(float), signs, weights[:, k], intercepts[k], C)
        best = objective(rows.astype(float), signs, exact.coef_[k], exact.intercept_[k], C)
        assert ours <= best * (1 + 1e-3) + 1e-9


def test_equal_images_and_constant_features_are_no_obstacle():
    rows = np.zeros((6, 9), np.float32)
    rows[3:, 0] = 2
    weights, intercepts = LinearSvm(rows).fit(np.array([0, 0, 0, 1, 1, 1]), 1.0)
    assert (predict(rows @ weights + intercepts) == [0, 0, 0, 1, 1, 1]).all()
    LinearSvm(np.zeros((4, 9), np.float32)).fit(np.array([0, 1, 0, 1]), 1.0)


def test_predictions_are_the_largest_score_or_its_sign():
    assert predict(np.array([[1.0, 3.0, 2.0], [5, 3, 2]])).tolist() == [1, 0]
    assert predict(np.array([[-0.1], [0.1]])).tolist() == [0, 1]


def test_a_missing_scikit_learn_takes_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UserError, match=r'pip install "dcgan\[features\]"'):
        check_scikit_learn()


def test_the_intercept_is_free():
    """Classes whose middle is far from 0: a penalised intercept would give all one class."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 100)).astype(np.float32)
    rows[:, 0] = 60 + 40 * (np.arange(40) % 2)
    weights, intercepts = LinearSvm(rows).fit(np.arange(40) % 2, 1e-3)
    middle = np.eye(1, 100, dtype=np.float32) * 80
    assert abs(middle @ weights + intercepts).item() < 0.1
    assert abs(intercepts.item()) > 2
