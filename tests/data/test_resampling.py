"""Resampling is exact in float32, agrees with Pillow, and takes little memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dcgan.data.decoding import resampling as module
from dcgan.data.decoding.resampling import _WEIGHT_STEP, _bands, resample

edges = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda pair: (pair[0] / 8, pair[1] / 8))


def matrix(n: int, start: float, stop: float, size: int) -> np.ndarray:
    whole = np.zeros((size, n), np.float32)
    for outputs, inputs, weights in _bands(n, start, stop, size):
        whole[outputs, inputs] = weights
    return whole


@given(st.integers(1, 700), st.integers(1, 150), edges)
def test_sums_are_exact_in_float32_so_that_every_machine_gives_the_same_bytes(n, size, edges):
    weights = matrix(n, edges[0], n - edges[1], size).astype(float)
    assert (weights / _WEIGHT_STEP == np.rint(weights / _WEIGHT_STEP)).all()
    assert (weights.sum(1) == 1).all()
    # The first product goes from 0..255, the second from whatever that one gives.
    assert 255 * abs(weights).sum(1).max() ** 2 / _WEIGHT_STEP < 2**24


@settings(max_examples=50)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([8, 64, 100]), edges)
def test_resampling_equals_pillows_lanczos_up_to_rounding(width, height, size, edges):
    pixels = np.random.default_rng(width).integers(60, 196, (height, width, 3), dtype=np.uint8)
    box = (edges[0], edges[1], width - edges[1], height - edges[0])
    expected = Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS, box=box)
    out = resample(pixels, box, size, size)
    assert out.flags.c_contiguous
    # Of this contrast nothing is clipped, which Pillow would do between the passes too.
    assert abs(out.astype(int) - np.asarray(expected)).max() <= 2


def test_rows_and_columns_are_not_confused():
    ramp = np.zeros((40, 90, 1), np.uint8)
    ramp[:] = 2 * np.arange(90, dtype=np.uint8)[:, None]
    out = resample(ramp, (10.0, 0.0, 50.0, 40.0), 20, 20)
    np.testing.assert_array_equal(out[..., 0], np.tile(np.arange(21, 101, 4), (20, 1)))


@pytest.mark.parametrize("channels", [1, 3])
def test_values_are_clipped_and_not_wrapped(channels):
    step = np.zeros((64, 64, channels), np.uint8)
    step[20:, 30:] = 255
    out = resample(step, (0, 0, 64, 64), 24, 24)
    assert out.shape == (24, 24, channels)
    assert (out[:7] < 40).all() and (out[-8:, -8:] > 215).all()


def test_a_box_of_the_final_size_is_copied():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resample(pixels, (7, 9, 39, 41), 32, 32), pixels[9:41, 7:39])


def test_resampling_a_large_image_takes_little_memory():
    pixels = np.zeros((3000, 4000, 3), np.uint8)
    tracemalloc.start()
    resample(pixels, (0, 0, 4000, 3000), 64, 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < pixels.nbytes / 3


def test_blocks_of_columns_give_the_same_pixels(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 301, 3), dtype=np.uint8)
    whole = resample(pixels, (100, 0, 190, 90), 40, 40)
    monkeypatch.setattr(module, "_BLOCK", 1)
    np.testing.assert_array_equal(resample(pixels, (100, 0, 190, 90), 40, 40), whole)
