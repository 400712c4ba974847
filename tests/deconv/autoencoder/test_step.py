"""The training step, by its closed form for a linear network."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dcgan.deconv.autoencoder.batches import DenoisingBatch
from dcgan.deconv.autoencoder.corruption import corrupt_images
from dcgan.deconv.autoencoder.trainer import denoising_loss
from dcgan.deconv.training.trainer import training_step

SIGMA = 0.15


def denoising_step(network, optimizer, batch, found_non_finite):
    return training_step(
        network, optimizer, lambda: denoising_loss(network, batch), found_non_finite
    )


class Linear(nn.Module):
    """A linear autoencoder of images [N, 1, 2, 2]."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x.flatten(1)).view_as(x)


def correlated_images(count: int):
    """Images of a known mean [4] and covariance [4, 4], far from the limits -1 and 1."""
    rng = np.random.default_rng(0)
    mixing = torch.tensor([[1, 0, 0, 0], [1, 0.5, 0, 0], [0, 1, 0.7, 0], [-1, 0, 0, 0.3]]) * 0.15
    mean = torch.tensor([0.1, -0.1, 0.0, 0.05])
    flat = mean + torch.from_numpy(rng.standard_normal((count, 4), np.float32)) @ mixing.T
    return flat.view(-1, 1, 2, 2), mean, mixing @ mixing.T


def test_a_linear_autoencoder_learns_the_wiener_filter():
    """The minimum over W and b of E|W (x + n) + b - x|^2 is W = S (S + sigma^2 I)^-1 and
    b = (I - W) mean, for x of covariance S.
    """
    clean, mean, S = correlated_images(20_000)
    network = Linear()
    optimizer = torch.optim.Adam(network.parameters(), 0.02, fused=True)
    non_finite = torch.zeros(())
    noisy = corrupt_images(clean, "gaussian", SIGMA, seed=3)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 + math.cos(math.pi * step / 400)) / 2
        scalars = denoising_step(network, optimizer, DenoisingBatch(clean, noisy), non_finite)
    W = S @ torch.linalg.inv(S + SIGMA**2 * torch.eye(4))
    assert float((W - torch.eye(4)).abs().max()) > 0.4, "far from what clean inputs would give"
    assert torch.allclose(network.layer.weight, W, atol=0.03)
    assert torch.allclose(network.layer.bias, mean - W @ mean, atol=0.01)
    least = torch.trace(S - W @ S) / 4  # of the mean squared error
    assert float(scalars["loss"]) == pytest.approx(float(least), rel=0.02)


def test_the_gradient_vanishes_at_the_wiener_filter_only():
    clean, mean, S = correlated_images(100_000)
    noisy = clean + SIGMA * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    network = Linear()
    W = S @ torch.linalg.inv(S + SIGMA**2 * torch.eye(4))
    norms = []
    for weight in (W, torch.eye(4)):
        with torch.no_grad():
            network.layer.weight.copy_(weight)
            network.layer.bias.copy_(mean - weight @ mean)
        optimizer = torch.optim.Adam(network.parameters(), 0.0, fused=True)
        batch = DenoisingBatch(clean, noisy)
        norms.append(float(denoising_step(network, optimizer, batch, torch.zeros(()))["grad_norm"]))
    assert norms[0] < norms[1] / 20, norms


def test_a_step_that_is_not_finite_changes_nothing():
    network, non_finite = Linear(), torch.zeros(())
    optimizer = torch.optim.Adam(network.parameters(), 0.1, fused=True)
    clean, *_ = correlated_images(8)
    good = DenoisingBatch(clean, clean)
    denoising_step(network, optimizer, good, non_finite)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    assert not non_finite
    denoising_step(network, optimizer, DenoisingBatch(clean, clean * math.nan), non_finite)
    denoising_step(network, optimizer, good, non_finite)
    assert non_finite
    assert all(map(torch.equal, before, network.parameters()))
