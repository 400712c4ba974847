"""The protocol of Radford et al. 2015, section 5: few labels, many draws of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from dcgan.deconv.linear_probe.svm import LinearSvm, predict
from dcgan.deconv.linear_probe.tasks import Draws, Split, Task

C_GRID = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)  # as in the authors' code
VALIDATION_DRAWS = 10


@dataclass(frozen=True, eq=False)
class ProbeScores:
    """Shares of right answers on the test images, for every draw and task."""

    accuracy: np.ndarray  # [draws, tasks] in [0, 1]
    balanced_accuracy: np.ndarray  # [draws, tasks], the mean over classes of the right shares
    features: int | None = None  # their number; None where no features are fixed
    C: tuple[float, ...] = field(default=())  # of the SVM of every task


@dataclass(frozen=True, eq=False)
class FeatureArrays:
    """Features, float32 [n, F], of the images of the parts of a `Split`."""

    pool: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def probe(
    features: FeatureArrays,
    tasks: Sequence[Task],
    split: Split,
    per_class: int,
    draws: int,
    seed: int = 0,
    *,
    C: Sequence[float] | None = None,
    shuffle_labels: bool = False,
    on_draw: Callable[[], None] = lambda: None,
) -> ProbeScores:
    """Train L2-SVMs on `per_class` labels of every class, and test them.

    For every task, C is the one of `C_GRID` that is best on the validation images, on average over
    ten draws: by accuracy for classes, by balanced accuracy for attributes, which are rarer in
    images than in draws. Then so many `draws` are trained with it and tested. Validation has draws
    of its own, the same for every C. A given `C`, of every task, leaves the validation out.
    `shuffle_labels` gives the labels of a draw to its images at random: nothing can be learnt then.
    """
    all_draws = [Draws(task, split.pool, per_class, seed) for task in tasks]

    def train(chosen: Draws, number: int, values: Sequence[float]) -> list[_Machine]:
        positions = chosen.positions(number)
        labels = chosen.labels[positions]
        if shuffle_labels:
            labels = chosen.shuffled_labels(number)
        svm = LinearSvm(features.pool[positions], seed=number)
        return [svm.fit(labels, C) for C in values]

    def validate() -> list[float]:
        rated = np.empty((len(tasks), VALIDATION_DRAWS, len(C_GRID)))
        for number in range(VALIDATION_DRAWS):
            for i, task in enumerate(tasks):
                machines = train(all_draws[i], number, C_GRID)
                truths = [task.labels[split.validation]] * len(C_GRID)
                rates = _rate(features.validation, machines, truths)
                rated[i, number] = rates[:, int(task.is_attribute)]
            on_draw()
        return [C_GRID[int(i)] for i in rated.mean(1).argmax(1)]

    best = validate() if C is None else C
    scores = np.empty((draws, len(tasks), 2))
    truths = [task.labels[split.test] for task in tasks]
    for number in range(draws):
        machines = [
            train(chosen, VALIDATION_DRAWS + number, [C])[0]
            for chosen, C in zip(all_draws, best, strict=True)
        ]
        scores[number] = _rate(features.test, machines, truths)
        on_draw()
    return ProbeScores(scores[..., 0], scores[..., 1], features.test.shape[1], tuple(best))


_Machine = tuple[np.ndarray, np.ndarray]  # weights [F, k] and intercepts [k]


def _rate(
    features: np.ndarray, machines: Sequence[_Machine], truths: Sequence[np.ndarray]
) -> np.ndarray:
    """Accuracy and balanced accuracy of several machines on the same features: [machines, 2]."""
    # All in one product: reading the features takes longer than multiplying them.
    scores = features @ np.concatenate([weights for weights, _ in machines], 1)
    ends = np.cumsum([weights.shape[1] for weights, _ in machines])[:-1]
    parts = np.split(scores, ends, 1)
    rated = [
        rate_predictions(predict(part + intercepts), truth)
        for part, (_, intercepts), truth in zip(parts, machines, truths, strict=True)
    ]
    return np.array(rated)


def rate_predictions(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The share of right answers, and its mean over the classes that there are; classes [N]."""
    right = predicted == truth
    counts = np.bincount(truth)
    shares = np.bincount(truth, right)[counts > 0] / counts[counts > 0]
    return float(right.mean()), float(shares.mean())
