"""Gradient penalties: closed forms, second derivatives, and convergence of the Dirac-GAN."""

import copy

import pytest
import torch
from torch import nn

from dcgan.networks import Discriminator, strided_convolution
from dcgan.training.losses import (
    LOSSES,
    gradient_penalty,
    squared_gradient_norms,
)

N, SHAPE = 5, (3, 4, 4)


def linear(scale: float = 1.0) -> tuple[nn.Module, torch.Tensor]:
    """D(x) = w.x of images, and w."""
    torch.manual_seed(0)
    D = nn.Sequential(nn.Flatten(), nn.Linear(48, 1), nn.Flatten(0)).double()
    D[1].weight.data *= scale
    return D, D[1].weight


def images(n: int = N, shape=SHAPE, dtype=torch.float64) -> torch.Tensor:
    return (2 * torch.rand(n, *shape, dtype=dtype) - 1).requires_grad_()


def r1(D, x: torch.Tensor) -> torch.Tensor:
    return squared_gradient_norms(D(x), x).mean()


def test_the_zero_centered_penalty_of_a_linear_D_is_its_squared_norm():
    """For every batch size: neither |w|^2 / N, as with the gradient of a mean, nor N |w|^2."""
    D, w = linear()
    for n in (1, 2, 5):
        penalty = r1(D, images(n))
        torch.testing.assert_close(penalty, w.square().sum())
        (of_w,) = torch.autograd.grad(penalty, w)
        torch.testing.assert_close(of_w, 2 * w)


def test_the_zero_centered_penalty_is_a_mean_over_images():
    """D(x) = |x|^2 / 2 has the gradient x."""
    x = images()
    penalty = r1(lambda x: x.square().sum((1, 2, 3)) / 2, x)
    torch.testing.assert_close(penalty, x.detach().square().sum() / N)


def test_the_gradient_penalty_of_a_linear_D_is_the_squared_distance_of_its_norm_from_1():
    for scale in (0.1, 1.0, 10.0):
        D, w = linear(scale)
        alpha = torch.rand(N, 1, 1, 1, dtype=torch.float64)
        penalty = gradient_penalty(D, images(), images(), alpha)
        torch.testing.assert_close(penalty, (w.norm() - 1).square())
        (of_w,) = torch.autograd.grad(penalty, w)
        torch.testing.assert_close(of_w, 2 * (w.norm() - 1) * w / w.norm())


def test_the_gradient_penalty_is_taken_between_the_images_of_a_pair():
    """With D(x) = |x|^2 / 2 the gradient at an image is the image itself."""
    D = lambda x: x.square().sum((1, 2, 3)) / 2  # noqa: E731
    real, fake = images(), images()
    alpha = torch.rand(N, 1, 1, 1, dtype=torch.float64)
    between = torch.stack([m * r + (1 - m) * f for m, r, f in zip(alpha, real, fake, strict=True)])
    expected = (between.detach().flatten(1).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(gradient_penalty(D, real, fake, alpha), expected)
    for end, m in ((real, 1), (fake, 0)):
        expected = (end.detach().flatten(1).norm(dim=1) - 1).square().mean()
        torch.testing.assert_close(
            gradient_penalty(D, real, fake, torch.full_like(alpha, m)), expected
        )


def test_the_penalty_of_a_zero_gradient_has_a_finite_derivative():
    """The derivative of a norm at zero is 0 / 0."""
    D, w = linear(0.0)
    penalty = gradient_penalty(D, images(), images(), torch.rand(N, 1, 1, 1))
    penalty.backward()
    assert penalty.item() == 1
    assert torch.isfinite(w.grad).all()


def test_no_gradient_of_the_penalty_reaches_the_images():
    """G does not descend the penalty."""
    real, fake = images(), images()
    D, _ = linear()
    gradient_penalty(D, real, fake, torch.rand(N, 1, 1, 1)).backward()
    assert real.grad is None
    assert fake.grad is None


def test_penalties_of_bfloat16_images_are_summed_in_float32():
    """The 12289th number of an image adds nothing to a bfloat16 sum of 12288."""
    x = torch.ones(2, 3, 64, 65, dtype=torch.bfloat16, requires_grad=True)
    penalty = r1(lambda x: x.square().sum((1, 2, 3)) / 2, x)
    assert penalty.item() == 3 * 64 * 65


def parameter_gradients(penalty, D: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The gradients that D descends, with respect to all its parameters."""
    value = penalty(D, x.detach().requires_grad_())
    return torch.autograd.grad(value, list(D.parameters()))


def gp(D, x: torch.Tensor) -> torch.Tensor:
    return gradient_penalty(D, x, -x, torch.full((len(x), 1, 1, 1), 0.25, dtype=x.dtype))


@pytest.mark.parametrize("penalty", [r1, gp])
def test_in_place_activations_keep_second_derivatives_correct(penalty):
    torch.manual_seed(0)
    D = Discriminator(size=16, width=8).double()
    apart = copy.deepcopy(D)
    for block in apart.blocks:
        block[-1] = nn.LeakyReLU(0.2)
    x = images(8, (3, 16, 16))
    torch.testing.assert_close(
        parameter_gradients(penalty, D, x), parameter_gradients(penalty, apart, x)
    )


def test_a_wide_D_in_float32_agrees_with_float64(monkeypatch):
    """Wide layers and big batches use Winograd convolutions, for second derivatives too."""
    capability = torch.backends.cpu.get_cpu_capability()
    monkeypatch.setitem(strided_convolution.MEASURED_TYPES, capability, (torch.float32,))
    taken = set()

    def winograd_conv2d(x, weight, bias, real=strided_convolution.winograd_conv2d):
        taken.add(tuple(weight.shape))
        return real(x, weight, bias)

    monkeypatch.setitem(strided_convolution.CONVOLUTIONS, "winograd", winograd_conv2d)
    torch.manual_seed(0)
    D = Discriminator(size=16, width=128).to(memory_format=torch.channels_last)
    for block in D.blocks:
        block[-1] = nn.SiLU()  # smooth: at a kink the smallest rounding turns a gradient
    exact = copy.deepcopy(D).double()
    x = images(32, (3, 16, 16), torch.float32)
    for penalty in (r1, gp):
        ours = parameter_gradients(penalty, D, x)
        theirs = parameter_gradients(penalty, exact, x.double())
        for a, b in zip(ours, theirs, strict=True):
            assert (a - b).norm() < 1e-4 * b.norm()
    assert taken == {(256, 128, 4, 4)}


# Dirac-GAN (Mescheder et al. 2018, section 2): D(x) = psi x, the real image is at 0 and the fake
# one at theta. The equilibrium is psi = theta = 0. The game starts near it, since far off the
# non-saturating one approaches at first.

START = 0.1


def distances(name: str, *, r1=0.0, r2=0.0, gp=0.0, steps=300, lr=0.1) -> torch.Tensor:
    """Distances from the equilibrium in simultaneous gradient descent from (START, START)."""
    losses = LOSSES[name]
    psi = torch.full((1,), START, requires_grad=True)
    theta = torch.full((1,), START, requires_grad=True)
    real = torch.zeros(1, 1, requires_grad=True)
    path = []
    for _ in range(steps):
        fake = theta[None]  # [1, 1]

        def D(x, psi=psi):
            return (psi * x).flatten()

        real_logits, fake_logits = D(real), D(fake)
        loss = losses.D(real_logits, fake_logits)
        loss = loss + r1 / 2 * squared_gradient_norms(real_logits, real).mean()
        loss = loss + r2 / 2 * squared_gradient_norms(fake_logits, fake).mean()
        if gp:
            loss = loss + gp * gradient_penalty(D, real, fake, torch.full((1, 1), 0.5))
        (of_psi,) = torch.autograd.grad(loss, psi, retain_graph=True)
        (of_theta,) = torch.autograd.grad(losses.G(real_logits, fake_logits), theta)
        with torch.no_grad():
            psi -= lr * of_psi
            theta -= lr * of_theta
        path.append(torch.cat([psi, theta]).detach().norm())
    return torch.stack(path)


@pytest.mark.parametrize("name", ["non-saturating", "wasserstein", "relativistic"])
def test_without_a_penalty_the_game_spirals_away_from_its_equilibrium(name):
    path = distances(name)
    assert path.min() > 0.99 * path[0]
    assert path[-1] > 1.2 * path[0]


def test_the_wasserstein_gradient_penalty_does_not_converge():
    """Mescheder et al. 2018, section 2.4."""
    assert distances("wasserstein", gp=1.0)[-100:].min() > START


@pytest.mark.parametrize(
    ("name", "penalties"),
    [
        ("non-saturating", {"r1": 1.0}),
        ("non-saturating", {"r2": 1.0}),
        ("wasserstein", {"r1": 1.0}),
        ("relativistic", {"r1": 0.5, "r2": 0.5}),
    ],
)
def test_zero_centered_penalties_make_the_game_converge(name, penalties):
    assert distances(name, **penalties)[-1] < 0.01 * START
