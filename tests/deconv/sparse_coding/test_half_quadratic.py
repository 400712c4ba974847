"""The continuation for penalties |z|^p."""

import pytest
import torch

from dcgan.deconv.sparse_coding import encode, energy
from dcgan.deconv.sparse_coding.half_quadratic import _solve, continue_beta
from dcgan.deconv.sparse_coding.operators import Synthesis
from tests.deconv.sparse_coding.test_fista import normal, unit


@pytest.mark.parametrize("p", [0.5, 2 / 3, 0.8, 1.0])
def test_the_split_energy_never_rises_while_beta_stays(p):
    synthesis, images = Synthesis(unit(4, 2, 3, 3)), 3 * normal(2, 2, 8, 9, seed=1)
    start = torch.zeros(2, 4, 10, 11).double()
    found = continue_beta(synthesis, images, start, p, 2.0, [0.5, 2, 8, 32], sweeps=6)
    assert found.energies.shape == (4, 6, 2)
    assert (found.energies[:, 1:] <= found.energies[:, :-1] * (1 + 1e-9)).all()
    assert 0 < (found.maps != 0).double().mean() < 0.6


def test_conjugate_gradients_solve_the_system():
    synthesis, images = Synthesis(unit(2, 1, 3, 3)), normal(2, 1, 5, 6, seed=1)
    x = normal(2, 2, 7, 8, seed=2)
    z, image = _solve(synthesis, images, torch.zeros_like(x), x, 3.0, 0.7, 150)
    columns = torch.eye(x[0].numel(), dtype=torch.float64).view(-1, *x.shape[1:])
    matrix = synthesis.forward(columns).flatten(1).T
    system = 3 * matrix.T @ matrix + 0.7 * torch.eye(matrix.shape[1]).double()
    right = 3 * images.flatten(1) @ matrix + 0.7 * x.flatten(1)
    torch.testing.assert_close(z.flatten(1), torch.linalg.solve(system, right.T).T)
    torch.testing.assert_close(image, synthesis.forward(z))


def planted(seed: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images, filters, and the few values that the images are made of."""
    filters, maps = unit(6, 1, 5, 5), torch.zeros(4, 6, 20, 20).double()
    where = torch.rand(maps.shape, generator=torch.Generator().manual_seed(seed)) < 0.01
    maps[where] = 4 * normal(int(where.sum()), seed=4).sign()
    noise = 0.02 * normal(4, 1, 16, 16, seed=5)
    return Synthesis(filters).forward(maps) + noise, filters, maps


@pytest.mark.parametrize("continuation", [False, True])
def test_with_p_below_1_fewer_values_of_less_bias_reconstruct_the_same(continuation):
    images, filters, maps = planted()
    sparse = encode(images, filters, 20.0, 0.5, 400, continuation=continuation)
    l1 = encode(images, filters, 20.0, 1.0, 400)
    assert (sparse.energies[1:] <= sparse.energies[:-1]).all()
    assert (sparse.maps != 0).sum() < 0.5 * (l1.maps != 0).sum()
    if not continuation:
        assert (sparse.energies[-1] < energy(images, l1.maps, filters, 20.0, 0.5)).all()
        found = sparse.maps.abs() > 1
        assert (found == (maps != 0)).double().mean() > 0.99


def test_starts_of_p_below_1():
    """From the minimum of l1 it ends lower than from zero, and than after the continuation."""
    images, filters, _ = planted()
    ends = [
        encode(images, filters, 20.0, 0.5, 400, **options).energies[-1].sum()
        for options in ({}, dict(continuation=True), dict(start=torch.zeros(4, 6, 20, 20)))
    ]
    assert ends[0] < 0.9 * min(ends[1:])
