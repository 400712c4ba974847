"""What is learnt from features: the labels of packed images, divided into sets of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dcgan.data import PackedImages
from dcgan.errors import UsageError, UserError

_MAX_TEST_IMAGES = 10_000  # by default
_POOL_FACTOR = 10  # images to draw from, for each that is drawn


@dataclass(frozen=True, eq=False)
class Task:
    """A classification: the classes of a data set, or one attribute, which images have or lack."""

    name: str
    classes: tuple[str, ...]
    labels: np.ndarray  # int64 [N] of all packed images, in range(len(classes))
    is_attribute: bool = False


def label_tasks(packed: PackedImages) -> list[Task]:
    """One task for images with classes, one for each attribute otherwise.

    Raises UserError for images without labels, or all of one class.
    """
    if packed.labels is None:
        raise UserError(f"the images in {packed.folder} have no labels, which features are for")
    if packed.labels.ndim == 1:
        if len(packed.label_names) < 2:
            raise UserError(f"the images in {packed.folder} are of one class: two are needed")
        return [Task("class", packed.label_names, np.asarray(packed.labels))]
    return [
        Task(name, (f"no {name}", name), packed.labels[:, i].astype(np.int64), True)
        for i, name in enumerate(packed.label_names)
    ]


@dataclass(frozen=True, eq=False)
class Split:
    """Indices of packed images, none of which is in two sets."""

    pool: np.ndarray  # that labelled images are drawn from
    validation: np.ndarray
    test: np.ndarray

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.pool, self.validation, self.test


def split_images(
    packed: PackedImages,
    tasks: Sequence[Task],
    per_class: int,
    test: int | None = None,
    seed: int = 0,
) -> Split:
    """Divide images at random into `test` for testing, half as many for validation, and a pool with
    up to ten times `per_class` images of every class of every task.

    `test`: a fifth of the images by default, at most 10,000. Raises UsageError where a class has
    too few images for that.
    """
    count = len(packed)
    test = min(count // 5, _MAX_TEST_IMAGES) if test is None else test
    validation = (test + 1) // 2
    if test < 1 or test + validation >= count:
        raise UsageError(
            f"{packed.folder}: {count} images cannot give {test} for testing and "
            f"{validation} for validation"
        )
    order = np.random.default_rng([seed, count]).permutation(count)
    tested, validated, rest = np.split(order, [test, test + validation])
    kept = np.zeros(len(rest), bool)
    for task in tasks:
        for value, name in enumerate(task.classes):
            found = np.flatnonzero(task.labels[rest] == value)
            if len(found) < per_class:
                total = np.count_nonzero(task.labels == value)
                raise UsageError(
                    f"{packed.folder}: {total} images are of class {name!r}, {len(found)} of them "
                    f"not for validation or testing: --per-class {per_class} needs more"
                )
            kept[found[: _POOL_FACTOR * per_class]] = True
            for part, what in ((tested, "test"), (validated, "validation")):
                if not (task.labels[part] == value).any():
                    raise UsageError(
                        f"{packed.folder}: none of the {len(part)} {what} images is of class "
                        f"{name!r}: raise --test, or pack more of them"
                    )
    return Split(rest[kept], validated, tested)


@dataclass(frozen=True, eq=False)
class Draws:
    """Random choices of `per_class` images of every class of a task, each a function of its number.

    The same for all features that are compared.
    """

    task: Task
    pool: np.ndarray  # indices of packed images
    per_class: int
    seed: int

    @cached_property
    def labels(self) -> np.ndarray:
        """The labels of the pool."""
        return self.task.labels[self.pool]

    @cached_property
    def _of_classes(self) -> list[np.ndarray]:
        return [np.flatnonzero(self.labels == value) for value in range(len(self.task.classes))]

    def positions(self, number: int) -> np.ndarray:
        """The positions in the pool of the images of one draw, class by class."""
        rng = self._rng(number, 0)
        drawn = [rng.choice(each, self.per_class, replace=False) for each in self._of_classes]
        return np.concatenate(drawn)

    def shuffled_labels(self, number: int) -> np.ndarray:
        """The labels of one draw in a random order."""
        return self._rng(number, 1).permutation(self.labels[self.positions(number)])

    def _rng(self, number: int, purpose: int) -> np.random.Generator:
        """Random numbers of one draw of one task: attributes draw independently."""
        return np.random.default_rng([self.seed, number, purpose, *self.task.name.encode()])
