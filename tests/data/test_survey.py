"""What counts as a copy, as a look-alike, and as neither."""

import io

import numpy as np
import pytest
from PIL import Image

from dcgan.data import faces, survey
from dcgan.data.decoding.image import decode


@pytest.fixture(scope="module")
def drawn():
    return faces.draw(range(40), 64).images.numpy()


def as_jpeg(image, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return decode(file.getvalue(), 64, 3, None)


def test_different_faces_are_neither_copies_nor_alike(drawn):
    for find in (survey.constant, survey.copies, survey.near_copies):
        assert not find(drawn).any(), find


def test_a_recompressed_or_brightened_picture_is_alike_and_no_copy(drawn):
    brighter = np.clip(drawn[7].astype(int) + 2, 0, 255).astype(np.uint8)
    images = np.concatenate([drawn, [as_jpeg(drawn[3], 60), brighter]])
    assert not survey.copies(images).any()
    assert survey.near_copies(images).nonzero()[0].tolist() == [40, 41]


def test_the_same_outlines_in_other_colours_are_not_alike(drawn):
    recoloured = drawn[:5][..., [2, 0, 1]]
    assert not survey.near_copies(np.concatenate([drawn[:5], recoloured])).any()


def test_the_first_of_equals_is_no_copy(drawn):
    images = drawn[[0, 1, 0, 2, 1, 0]]
    assert survey.copies(images).tolist() == [False, False, True, False, True, True]


def test_alike_is_found_across_blocks(drawn, monkeypatch):
    monkeypatch.setattr(survey, "BLOCK", 8)
    images = np.concatenate([drawn, drawn[[5, 30]]])
    assert survey.near_copies(images).nonzero()[0].tolist() == [40, 41]


def test_a_single_colour_is_constant_and_two_are_not():
    images = np.full((3, 8, 8, 3), (1, 2, 3), np.uint8)
    images[1, 7, 7, 2] = 4
    assert survey.constant(images).tolist() == [True, False, True]


def test_balance_of_classes_and_of_attributes():
    assert survey.balance(np.array([1, 1, 0, 1]), ("a", "b", "c")) == [
        ("c", 0),
        ("a", 0.25),
        ("b", 0.75),
    ]
    attributes = np.array([[1, 0], [1, 1]], np.uint8)
    assert survey.balance(attributes, ("x", "y")) == [("y", 0.5), ("x", 1)]
