"""Tasks from labels, and images divided and drawn for them."""

import numpy as np
import pytest

from dcgan.data.packed import open_packed
from dcgan.deconv.linear_probe import label_tasks, split_images
from dcgan.deconv.linear_probe.tasks import Draws
from dcgan.errors import UsageError, UserError
from tests.conftest import write_packed
from tests.deconv.linear_probe.sets import pack_attributes, pack_bars


def test_classes_are_one_task_and_attributes_one_each(tmp_path):
    classes = pack_bars(tmp_path / "a", 20)
    (task,) = label_tasks(classes)
    assert task.classes == ("left", "middle", "right") and not task.is_attribute
    assert (task.labels == classes.labels).all()
    attributes = pack_attributes(tmp_path / "b", 20)
    tasks = label_tasks(attributes)
    assert [task.name for task in tasks] == ["bright", "bar", "rare"]
    assert tasks[1].classes == ("no bar", "bar") and tasks[1].is_attribute
    assert (tasks[2].labels == attributes.labels[:, 2]).all()


def test_images_without_labels_or_of_one_class_are_refused(packed, tmp_path):
    with pytest.raises(UserError, match="have no labels"):
        label_tasks(packed)
    images = np.zeros((5, 8, 8, 1), np.uint8)
    one = write_packed(tmp_path / "one", images, np.zeros(5, np.int64), ("cat",), "class")
    with pytest.raises(UserError, match="are of one class: two are needed"):
        label_tasks(open_packed(one))


def test_no_image_is_in_two_sets_and_the_pool_is_bounded(tmp_path):
    packed = pack_bars(tmp_path / "p", 600)
    tasks = label_tasks(packed)
    split = split_images(packed, tasks, per_class=4, seed=3)
    assert len(split.test) == 120 and len(split.validation) == 60
    assert len(np.unique(np.concatenate(split.parts))) == sum(map(len, split.parts))
    assert np.bincount(packed.labels[split.pool]).tolist() == [40, 40, 40]
    again = split_images(packed, tasks, per_class=4, seed=3)
    assert all((a == b).all() for a, b in zip(split.parts, again.parts, strict=True))
    other = split_images(packed, tasks, per_class=4, seed=4)
    assert set(other.test) != set(split.test)
    named = split_images(packed, tasks, per_class=4, test=51)
    assert (len(named.test), len(named.validation)) == (51, 26)


def test_the_pool_of_attributes_has_enough_with_and_without_each(tmp_path):
    packed = pack_attributes(tmp_path / "p", 900)
    split = split_images(packed, label_tasks(packed), per_class=6)
    counts = packed.labels[split.pool].sum(0)
    assert (counts >= 60).all() and (len(split.pool) - counts >= 60).all()
    assert len(split.pool) < 400


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(per_class=90), r"\d+ images are of class '\w+', \d+ of .* --per-class 90 needs more"),
        (dict(per_class=5, test=299), "300 images cannot give 299 for testing and 150 for"),
        (dict(per_class=5, test=2), r"none of the \d test images is of class|validation images"),
    ],
)
def test_too_few_images_take_one_line(tmp_path, options, words):
    packed = pack_bars(tmp_path / "p", 300)
    with pytest.raises(UsageError, match=words):
        split_images(packed, label_tasks(packed), **options)


def test_draws_have_so_many_of_each_class_and_depend_on_their_number_alone(tmp_path):
    packed = pack_bars(tmp_path / "p", 300)
    (task,) = label_tasks(packed)
    pool = np.arange(50, 250)
    draws = Draws(task, pool, 7, seed=1)
    chosen = draws.positions(5)
    assert len(np.unique(chosen)) == 21
    assert packed.labels[pool[chosen]].tolist() == [0] * 7 + [1] * 7 + [2] * 7
    assert (Draws(task, pool, 7, seed=1).positions(5) == chosen).all()
    assert set(draws.positions(6)) != set(chosen)
    assert set(Draws(task, pool, 7, seed=2).positions(5)) != set(chosen)
    shuffled = draws.shuffled_labels(5)
    assert np.bincount(shuffled).tolist() == [7, 7, 7]
    assert (shuffled != draws.labels[chosen]).any()


def test_attributes_draw_independently(tmp_path):
    packed = pack_attributes(tmp_path / "p")
    first, second, _ = (Draws(task, np.arange(300), 9, 0) for task in label_tasks(packed))
    assert set(first.positions(0)) != set(second.positions(0))
