"""The protocol: against a few lines of scikit-learn, with planted features, and without any."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.svm import LinearSVC

from dcgan.deconv.linear_probe import C_GRID, FeatureArrays, Split, Task, probe
from dcgan.deconv.linear_probe.protocol import rate_predictions
from dcgan.deconv.linear_probe.tasks import Draws

NAMES = ("a", "b", "c", "d")


def planted(strength: float, classes: int = 4, features: int = 300):
    """Features that are noise, with the class of an image in the first ones, and their task."""
    rng = np.random.default_rng(0)
    labels = rng.choice(classes, 900, p=np.arange(1, classes + 1) / sum(range(1, classes + 1)))
    rows = rng.normal(size=(900, features)).astype(np.float32)
    rows[:, :classes] += strength * np.eye(classes, dtype=np.float32)[labels]
    rows *= 10_000**0.5 / features**0.5
    split = Split(np.arange(500), np.arange(500, 600), np.arange(600, 900))
    task = Task("class", NAMES[:classes], labels.astype(np.int64), is_attribute=classes == 2)
    return FeatureArrays(*(rows[part] for part in split.parts)), task, split


@pytest.mark.parametrize("classes", [2, 4])
def test_it_is_the_protocol_of_the_paper_written_with_scikit_learn(classes):
    features, task, split = planted(3.0, classes)
    found = probe(features, [task], split, per_class=12, draws=6, seed=5)

    draws = Draws(task, split.pool, 12, 5)
    score = balanced_accuracy_score if classes == 2 else accuracy_score

    def fitted(number: int, C: float) -> LinearSVC:
        rows = draws.positions(number)
        svm = LinearSVC(C=C, tol=1e-8, max_iter=1_000_000, random_state=0, intercept_scaling=100)
        return svm.fit(features.pool[rows], task.labels[split.pool[rows]])

    truth = task.labels[split.validation]
    means = [
        np.mean([score(truth, fitted(i, C).predict(features.validation)) for i in range(10)])
        for C in C_GRID
    ]
    C = C_GRID[int(np.argmax(means))]
    truth = task.labels[split.test]
    predicted = [fitted(10 + i, C).predict(features.test) for i in range(6)]
    assert found.C == (C,) and found.features == 300
    assert found.accuracy.shape == (6, 1)
    expected = [accuracy_score(truth, each) for each in predicted]
    np.testing.assert_allclose(found.accuracy[:, 0], expected, atol=0.004)  # one image of 300
    expected = [balanced_accuracy_score(truth, each) for each in predicted]
    np.testing.assert_allclose(found.balanced_accuracy[:, 0], expected, atol=0.02)


def test_planted_features_are_found_and_noise_gives_chance():
    features, task, split = planted(8.0)
    good = probe(features, [task], split, 10, 10)
    assert good.accuracy.mean() > 0.9
    noise, *_ = planted(0.0)
    for scores in (
        probe(noise, [task], split, 10, 40),
        probe(features, [task], split, 10, 40, shuffle_labels=True),
    ):
        assert scores.balanced_accuracy.mean() == pytest.approx(0.25, abs=0.03)
        assert scores.accuracy.mean() == pytest.approx(0.25, abs=0.05)


def test_more_labels_help():
    features, task, split = planted(4.0)
    few, many = (probe(features, [task], split, n, 10).accuracy.mean() for n in (3, 40))
    assert many > few + 0.1


def test_every_attribute_has_its_own_svm_and_C():
    """One attribute is in one strong feature, the other in no feature."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, (800, 2))
    rows = rng.normal(size=(800, 50)).astype(np.float32) * 10
    rows[:, 7] += 60 * labels[:, 0]
    split = Split(np.arange(400), np.arange(400, 500), np.arange(500, 800))
    tasks = [Task(name, ("no", "yes"), labels[:, i], True) for i, name in enumerate("ab")]
    features = FeatureArrays(*(rows[part] for part in split.parts))
    counted = []
    found = probe(features, tasks, split, 20, 8, on_draw=lambda: counted.append(1))
    assert len(counted) == 18 and len(found.C) == 2
    assert found.accuracy.shape == found.balanced_accuracy.shape == (8, 2)
    assert found.accuracy[:, 0].mean() > 0.95
    assert found.accuracy[:, 1].mean() == pytest.approx(0.5, abs=0.06)
    alone = probe(features, tasks[:1], split, 20, 8)
    assert (alone.accuracy[:, 0] == found.accuracy[:, 0]).all()


def test_the_same_seed_gives_the_same_scores():
    features, task, split = planted(3.0)
    a, b, c = (probe(features, [task], split, 5, 4, seed) for seed in (1, 1, 2))
    assert (a.accuracy == b.accuracy).all() and a.C == b.C
    assert (a.accuracy != c.accuracy).any()


def test_rates_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    truth, predicted = rng.choice(4, 200, p=[0.7, 0.2, 0.1, 0]), rng.integers(0, 3, 200)
    accuracy, balanced = rate_predictions(predicted, truth)
    assert accuracy == accuracy_score(truth, predicted)
    assert balanced == pytest.approx(balanced_accuracy_score(truth, predicted))
