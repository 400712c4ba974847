import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.data.held_out import MAX_HELD_OUT, MIN_HELD_OUT, split_images


@settings(deadline=None)
@given(st.integers(1, 3000), st.floats(0, 0.5), st.integers(0, 2**62))
def test_every_image_is_trained_on_or_held_out(count, share, seed):
    training, held_out = split_images(count, share, seed)
    wanted = min(int(share * count), MAX_HELD_OUT)
    if wanted < MIN_HELD_OUT:
        assert training is None and len(held_out) == 0
        return
    assert len(held_out) == wanted <= len(training)
    assert sorted([*training, *held_out]) == list(range(count))
    again = split_images(count, share, seed)[1]
    assert np.array_equal(held_out, again)


def test_the_split_is_random_and_follows_the_seed():
    """The first images of a folder are often of one class."""
    shares = [split_images(10_000, 0.05, seed)[1] for seed in (0, 1)]
    assert len(np.intersect1d(*shares)) < 100  # 25 are expected
    for held_out in shares:
        assert 4_700 < held_out.mean() < 5_300
