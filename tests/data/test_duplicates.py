"""What counts as an exact duplicate, as a near-duplicate, and as neither."""

import io

import numpy as np
import pytest
from PIL import Image

from dcgan.data import duplicates, faces
from dcgan.data.decoding.image import decode
from dcgan.data.duplicates import exact_duplicates, near_duplicates


@pytest.fixture(scope="module")
def rendered():
    return faces.render(range(40), 64).images.numpy()


def as_jpeg(image, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return decode(file.getvalue(), 64, 3, None)


def test_different_faces_are_no_duplicates(rendered):
    assert not exact_duplicates(rendered).any()
    assert not near_duplicates(rendered).any()


def test_a_recompressed_or_brightened_image_is_a_near_and_no_exact_duplicate(rendered):
    brighter = np.clip(rendered[7].astype(int) + 2, 0, 255).astype(np.uint8)
    images = np.concatenate([rendered, [as_jpeg(rendered[3], 60), brighter]])
    assert not exact_duplicates(images).any()
    assert near_duplicates(images).nonzero()[0].tolist() == [40, 41]


def test_the_same_outlines_in_other_colours_are_no_duplicates(rendered):
    recoloured = rendered[:5][..., [2, 0, 1]]
    assert not near_duplicates(np.concatenate([rendered[:5], recoloured])).any()


def test_the_first_of_equal_images_is_no_duplicate(rendered):
    images = rendered[[0, 1, 0, 2, 1, 0]]
    assert exact_duplicates(images).tolist() == [False, False, True, False, True, True]


def test_near_duplicates_are_found_across_blocks(rendered, monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK", 8)
    images = np.concatenate([rendered, rendered[[5, 30]]])
    assert near_duplicates(images).nonzero()[0].tolist() == [40, 41]
