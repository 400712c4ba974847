"""Statistics of a set of images, against sets whose answer is known."""

import numpy as np
from PIL import Image

from dcgan.config import DataOptions
from dcgan.data.sources import open_source
from dcgan.data.statistics import label_shares, single_colour, sizes_and_modes


def test_sizes_and_modes_are_those_of_the_files_that_can_be_read(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    Image.new("L", (7, 9)).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"no image")
    Image.new("RGB", (5, 6)).save(tmp_path / "d.png")
    source = open_source(DataOptions(source="folder", root=tmp_path))
    sizes, modes = sizes_and_modes(source, np.arange(4))
    assert sizes.tolist() == [[30, 20], [7, 9], [5, 6]]
    assert modes == {"RGB": 2, "L": 1}
    sizes, modes = sizes_and_modes(source, np.array([2]))
    assert sizes.shape == (0, 2)
    assert not modes


def test_an_image_with_one_pixel_of_another_colour_is_not_single_colour():
    images = np.full((3, 8, 8, 3), (1, 2, 3), np.uint8)
    images[1, 7, 7, 2] = 4
    assert single_colour(images).tolist() == [True, False, True]


def test_label_shares_of_classes_and_of_attributes_begin_with_the_rarest():
    assert label_shares(np.array([1, 1, 0, 1]), ("a", "b", "c")) == [
        ("c", 0),
        ("a", 0.25),
        ("b", 0.75),
    ]
    attributes = np.array([[1, 0], [1, 1]], np.uint8)
    assert label_shares(attributes, ("x", "y")) == [("y", 0.5), ("x", 1)]
