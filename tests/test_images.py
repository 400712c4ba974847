import numpy as np
import pytest
import torch
from PIL import Image

from dcgan import images


def test_every_byte_value_survives_conversion_to_float_and_back():
    every = (
        torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(2, 16, 16, 3).contiguous()
    )
    x = images.to_float(every)
    assert x.shape == (2, 3, 16, 16)
    assert x.min() == -1 and x.max() == 1
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images.to_uint8(x), every)


def test_values_outside_the_range_are_clipped_not_wrapped():
    x = torch.tensor([-1.5, 1.5, 0.0]).reshape(1, 1, 1, 3)
    assert images.to_uint8(x).flatten().tolist() == [0, 255, 128]


def test_a_grid_shows_images_row_by_row_on_white():
    cells = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 6, 1), np.uint8)
    sheet = images.make_grid(cells, columns=3, gap=2)
    assert sheet.shape == (2 * 6 + 2, 3 * 8 + 2, 1)
    for i in range(5):
        top, left = 2 + 6 * (i // 3), 2 + 8 * (i % 3)
        assert (sheet[top : top + 4, left : left + 6] == i).all()
        sheet[top : top + 4, left : left + 6] = 255
    assert (sheet == 255).all()  # the gaps, and the empty sixth cell


@pytest.mark.parametrize(
    ("count", "rows", "columns"), [(1, 1, 1), (3, 2, 2), (5, 2, 3), (64, 8, 8)]
)
def test_a_grid_is_nearly_square_by_default(count, rows, columns):
    cells = np.zeros((count, 4, 4, 3), np.uint8)
    assert images.make_grid(cells, gap=0).shape == (4 * rows, 4 * columns, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_file_holds_the_exact_pixels(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, channels), dtype=np.uint8)
    images.save_png(tmp_path / "new" / "a.png", pixels)
    with Image.open(tmp_path / "new" / "a.png") as file:
        assert (np.asarray(file).reshape(pixels.shape) == pixels).all()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]
