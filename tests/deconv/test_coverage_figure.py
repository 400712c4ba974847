"""The picture of coverage: a checkerboard is seen where there is one."""

import numpy as np
import pytest

from dcgan.deconv.coverage_figure import draw_coverage
from dcgan.errors import UsageError
from dcgan.sizes import parse_layers


def most_changes(picture: np.ndarray) -> int:
    """Changes of colour along the row of pixels that has most of them, text left out."""
    colourful = np.ptp(picture.astype(int), axis=-1) > 40
    changes = (np.diff(picture.astype(int), axis=1) != 0).any(-1)
    return int((changes & colourful[:, 1:] & colourful[:, :-1]).sum(1).max())


def test_a_checkerboard_is_drawn():
    even, uneven = (
        draw_coverage(parse_layers(f"deconv 3 {kernel} 2 1"), (40, 40)) for kernel in (4, 3)
    )
    assert even.dtype == np.uint8 and even.shape == uneven.shape
    assert most_changes(even) < 10 < 70 < most_changes(uneven)


def test_too_many_layers_are_refused():
    with pytest.raises(UsageError, match="at most 24 layers, not 25"):
        draw_coverage(parse_layers(",".join(["conv 1 1"] * 25)), (8, 8))
