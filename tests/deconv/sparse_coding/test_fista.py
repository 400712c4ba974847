"""The minimiser: it never rises, and it ends where other solvers do."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso
from sporco.pgm import cbpdn

from dcgan.deconv.sparse_coding import Pool, encode, energy
from dcgan.deconv.sparse_coding.fista import minimize
from dcgan.deconv.sparse_coding.operators import Synthesis
from dcgan.deconv.sparse_coding.penalties import PooledL1, PowerPenalty


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    filters = normal(*shape, seed=seed)
    return filters / filters.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([0.5, 2 / 3, 0.8, 1.0, "pool"]),
    st.floats(0.05, 20),
    st.floats(0.01, 3),
    st.booleans(),
    st.integers(0, 9),
)
def test_the_energy_never_rises(p, weight, guess, from_zero, seed):
    """For any penalty, any start, and bounds that are too small, in single precision too."""
    filters, images = unit(3, 2, 3, 4, seed=seed), normal(2, 2, 7, 8, seed=seed + 1)
    penalty = PooledL1(Pool(2, 2)) if p == "pool" else PowerPenalty(p)
    start = torch.zeros(2, 3, 9, 11) if from_zero else normal(2, 3, 9, 11, seed=seed + 2)
    if p == "pool":
        start = penalty.prox(start.double(), torch.zeros(1).double())
    synthesis = Synthesis(filters.float())
    found = minimize(
        *(synthesis, images.float(), start.float(), penalty, weight),
        *(guess * synthesis.bound((7, 8)), 25),
    )
    assert found.energies.shape == (26, 2)
    assert (found.energies[1:] <= found.energies[:-1]).all()
    power = 1.0 if p == "pool" else p
    ends = (start, found.x.double())
    exact = [energy(images, maps.double(), filters, weight, power) for maps in ends]
    torch.testing.assert_close(found.energies[-1].double(), exact[1], rtol=1e-5, atol=1e-5)
    assert (exact[1] <= exact[0] * (1 + 1e-6)).all()
    torch.testing.assert_close(found.image, synthesis.forward(found.x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_agreement_with_sporco(channels):
    """On a torus as large as the maps, where only the pixels count that do not wrap around."""
    side, extent, count, weight = 14, 5, 3, 1.0
    filters = unit(count, channels, extent, extent)
    images = normal(1, channels, side, side, seed=1)
    maps = encode(images, filters, weight, iterations=6000, tolerance=1e-8).maps
    torus = side + extent - 1
    signal, mask = np.zeros((torus, torus, channels)), np.zeros((torus, torus, 1))
    signal[extent - 1 :, extent - 1 :] = images[0].permute(1, 2, 0).numpy()
    mask[extent - 1 :, extent - 1 :] = 1
    dictionary = filters.permute(2, 3, 1, 0).numpy()
    if channels == 1:
        signal, mask, dictionary = signal[..., 0], mask[..., 0], dictionary[..., 0, :]
    else:
        mask = np.broadcast_to(mask, signal.shape)
    options = {
        "MaxMainIter": 6000,
        "RelStopTol": 0.0,
        "Verbose": False,
        "L": Synthesis(filters).bound((side, side)) * 1.01,
    }
    solver = cbpdn.ConvBPDNMask(
        *(dictionary, signal, 1 / weight, mask), cbpdn.ConvBPDNMask.Options(options)
    )
    theirs = np.squeeze(solver.solve()).transpose(2, 0, 1)
    assert np.abs(theirs).max() > 0.5 and (theirs != 0).mean() < 0.5
    np.testing.assert_allclose(maps[0].numpy(), theirs, atol=1e-5)


def test_agreement_with_coordinate_descent_on_the_explicit_matrix():
    weight, filters, images = 3.0, unit(3, 2, 3, 4), normal(2, 2, 6, 7, seed=1)
    codes = encode(images, filters, weight, iterations=5000, tolerance=0)
    shape = (3, *Synthesis(filters).map_size((6, 7)))
    columns = torch.eye(int(np.prod(shape)), dtype=torch.float64).view(-1, *shape)
    matrix = Synthesis(filters).forward(columns).flatten(1).T.numpy()
    for image, maps in zip(images, codes.maps, strict=True):
        lasso = Lasso(1 / weight / len(matrix), fit_intercept=False, tol=1e-15, max_iter=100_000)
        lasso.fit(matrix, image.flatten().numpy())
        np.testing.assert_allclose(maps.flatten().numpy(), lasso.coef_, atol=1e-5)
    torch.testing.assert_close(
        codes.energies[-1], energy(images, codes.maps, filters, weight), rtol=1e-10, atol=0
    )


def test_each_image_is_coded_by_itself():
    filters, images = (
        unit(3, 1, 3, 3),
        normal(3, 1, 8, 8, seed=1) * torch.tensor([1.0, 30.0, 0.0]).view(3, 1, 1, 1),
    )
    together = encode(images, filters, iterations=60, tolerance=0)
    alone = encode(images[1:2], filters, iterations=60, tolerance=0)
    torch.testing.assert_close(together.maps[1:2], alone.maps)
    assert not together.maps[2].any() and together.energies[-1, 2] == 0


def test_without_momentum_it_takes_many_more_iterations():
    """What FISTA is for: after k steps the error is of order 1 / k^2."""
    filters, images = unit(8, 1, 5, 5), normal(1, 1, 12, 12, seed=1)
    best = encode(images, filters, 5.0, iterations=4000, tolerance=1e-8).energies[-1]
    fast = encode(images, filters, 5.0, iterations=60, tolerance=0).energies[-1]
    maps = torch.zeros(1, 8, 16, 16, dtype=torch.float64)
    for _ in range(60):  # a start anew at each step has no momentum
        maps = encode(images, filters, 5.0, iterations=1, tolerance=0, start=maps).maps
    slow = energy(images, maps, filters, 5.0)
    assert fast - best < (slow - best) / 5
