"""3-D pooling against PyTorch's, and its inverse."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.deconv.sparse_coding import Pool, pool_maps, unpool_maps
from dcgan.errors import UsageError


@settings(deadline=None, max_examples=40)
@given(*[st.integers(1, 3)] * 2, *[st.integers(1, 7)] * 3)
def test_agreement_with_pytorch(maps, extent, channels, height, width):
    x = torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(channels))
    values, switches = pool_maps(x, Pool(maps, extent))
    expected, places = F.max_pool3d(
        *(x.abs()[:, None], (maps, extent, extent)), ceil_mode=True, return_indices=True
    )
    assert torch.equal(values.abs(), expected[:, 0])
    assert torch.equal(values, x.flatten(1).gather(1, places.flatten(1)).view_as(values))
    unpooled = torch.zeros(2, x[0].numel()).scatter(1, places.flatten(1), values.flatten(1))
    assert torch.equal(unpool_maps(values, switches), unpooled.view_as(x))


def test_pooling_again_changes_nothing():
    x = torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    values, switches = pool_maps(x, Pool(2, 3))
    again, places = pool_maps(unpool_maps(values, switches), Pool(2, 3))
    assert torch.equal(again, values) and torch.equal(places.places, switches.places)
    assert switches[1:].places.shape == (1, 3, 2, 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Pool(0, 2), "--maps must be a whole number of at least 1, not 0"),
        (lambda: Pool(2, 1.5), "--extent must be a whole number"),
        (
            lambda: pool_maps(torch.zeros(3, 4), Pool()),
            r"feature maps \[N, K, H, W\], not \[3, 4\]",
        ),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_values_of_another_shape_are_refused():
    _, switches = pool_maps(torch.ones(1, 2, 4, 4), Pool())
    with pytest.raises(UsageError, match=r"needs values of that shape, not \[1, 2, 4, 4\]"):
        unpool_maps(torch.ones(1, 2, 4, 4), switches)
