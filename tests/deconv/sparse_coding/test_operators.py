"""The linear maps: their definition, their adjoints, their bounds."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d

from dcgan.deconv.sparse_coding.operators import Chain, FilterSynthesis, Synthesis
from dcgan.deconv.sparse_coding.pooling import Pool, Unpooling, pool_maps

sides = st.integers(1, 4)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def check_adjoint(operator, x: torch.Tensor, y: torch.Tensor) -> None:
    """<A x, y> = <x, A^T y>."""
    assert operator.forward(x).shape == y.shape and operator.adjoint(y).shape == x.shape
    torch.testing.assert_close((operator.forward(x) * y).sum(), (x * operator.adjoint(y)).sum())


def test_images_are_sums_of_valid_convolutions():
    filters, maps = normal(3, 2, 4, 5), normal(2, 3, 9, 11, seed=1)
    images = Synthesis(filters).forward(maps)
    assert Synthesis(filters).map_size((6, 7)) == (9, 11)
    for n in range(2):
        for c in range(2):
            expected = sum(
                convolve2d(maps[n, k].numpy(), filters[k, c].numpy(), mode="valid")
                for k in range(3)
            )
            np.testing.assert_allclose(images[n, c].numpy(), expected, atol=1e-12)
    full = Synthesis(filters, padding=0).forward(maps)
    whole = convolve2d(maps[0, 0].numpy(), filters[0, 0].numpy(), mode="full")
    assert full[0, 0].shape == whole.shape


@settings(deadline=None, max_examples=30)
@given(*[sides] * 5, st.integers(0, 3), st.booleans())
def test_adjoints(count, maps, channels, height, width, extra, padded):
    filters = normal(maps, channels, height, width)
    padding = None if padded else 0
    synthesis = Synthesis(filters, padding)
    size = (height + extra, width + 2 * extra)
    z = normal(count, maps, *synthesis.map_size(size), seed=1)
    y = normal(count, channels, *size, seed=2)
    check_adjoint(synthesis, z, y)
    check_adjoint(FilterSynthesis(z, synthesis.padding), filters[None], y[None])


def test_filters_and_maps_are_interchangeable():
    filters, maps = normal(3, 2, 4, 5), normal(2, 3, 9, 11, seed=1)
    by_filters = FilterSynthesis(maps, (3, 4))
    images = by_filters.forward((filters * by_filters.norms)[None])[0]
    torch.testing.assert_close(images, Synthesis(filters).forward(maps))
    unit = torch.zeros(1, 3, 2, 4, 5, dtype=torch.float64)
    unit[0, 1, 0, 0, 0] = 1
    assert 0.3 < by_filters.forward(unit).norm() <= 1, "a column is a map of norm 1, cut"


def test_a_chain_through_switches():
    lower, upper = Synthesis(normal(4, 1, 3, 3)), Synthesis(normal(5, 2, 2, 2, seed=1))
    _, switches = pool_maps(normal(2, 4, 8, 7, seed=2), Pool(2, 3))
    chain = Chain(lower, Unpooling(switches), upper)
    x = normal(2, 5, *upper.map_size((3, 3)), seed=3)
    check_adjoint(chain, x, normal(2, 1, 6, 5, seed=4))
    check_adjoint(
        FilterSynthesis(x, (1, 1), Chain(lower, Unpooling(switches))),
        normal(1, 5, 2, 2, 2, seed=5),
        normal(1, 2, 1, 6, 5, seed=6),
    )


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 4), st.integers(1, 3), sides, sides, st.integers(0, 4), st.booleans())
def test_the_bound_holds_and_is_close(maps, channels, height, width, extra, padded):
    synthesis = Synthesis(normal(maps, channels, height, width), None if padded else 0)
    size = (height + extra, width + extra)
    shape = (maps, *synthesis.map_size(size))
    columns = torch.eye(int(np.prod(shape)), dtype=torch.float64).view(-1, *shape)
    matrix = synthesis.forward(columns).flatten(1)
    largest = torch.linalg.matrix_norm(matrix, 2).item() ** 2
    assert largest <= synthesis.bound(size) * (1 + 1e-9)


def test_the_bound_is_close_on_larger_images():
    synthesis = Synthesis(normal(3, 2, 3, 3))
    shape = (3, *synthesis.map_size((14, 14)))
    columns = torch.eye(int(np.prod(shape)), dtype=torch.float64).view(-1, *shape)
    largest = torch.linalg.matrix_norm(synthesis.forward(columns).flatten(1), 2).item() ** 2
    assert largest <= synthesis.bound((14, 14)) < 1.15 * largest
