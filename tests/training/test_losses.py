"""The losses against NumPy in float64, and the directions in which they push logits."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.training.losses import (
    LOSSES,
    discriminator_metrics,
    non_saturating_D,
    non_saturating_G,
)


def logits_of_length(n: int) -> st.SearchStrategy[torch.Tensor]:
    return st.lists(st.floats(-30, 30), min_size=n, max_size=n).map(
        lambda values: torch.tensor(values, dtype=torch.float64)
    )


few = settings(deadline=None, max_examples=40)
pairs = st.integers(1, 6).flatmap(lambda n: st.tuples(logits_of_length(n), logits_of_length(n)))
every_loss = pytest.mark.parametrize("name", LOSSES)


def minus_log_sigmoid(a: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(-a))


REFERENCE = {
    "non-saturating": (
        lambda r, f: (minus_log_sigmoid(r) + minus_log_sigmoid(-f)).mean(),
        lambda r, f: minus_log_sigmoid(f).mean(),
    ),
    "hinge": (
        lambda r, f: (np.maximum(0, 1 - r) + np.maximum(0, 1 + f)).mean(),
        lambda r, f: -f.mean(),
    ),
    "least-squares": (
        lambda r, f: 0.5 * ((r - 1) ** 2 + f**2).mean(),
        lambda r, f: 0.5 * ((f - 1) ** 2).mean(),
    ),
    "wasserstein": (lambda r, f: (f - r).mean(), lambda r, f: -f.mean()),
    "relativistic": (
        lambda r, f: minus_log_sigmoid(np.subtract.outer(r, f)).mean(),
        lambda r, f: minus_log_sigmoid(np.subtract.outer(f, r)).mean(),
    ),
}


def pushes(name: str, real: torch.Tensor, fake: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Negative gradients of D's loss by real and by fake logits, and of G's by fake logits."""
    loss = LOSSES[name]
    real, fake = real.requires_grad_(), fake.requires_grad_()
    of_D = torch.autograd.grad(loss.D(real, fake), (real, fake))
    of_G = torch.autograd.grad(loss.G(real.detach(), fake), fake)
    return tuple(-gradient for gradient in (*of_D, *of_G))


@every_loss
@few
@given(pairs)
def test_equal_to_the_formula_in_numpy(name, logits):
    for ours, theirs in zip(LOSSES[name][:2], REFERENCE[name], strict=True):
        expected = torch.tensor(theirs(*(a.numpy() for a in logits)))
        torch.testing.assert_close(ours(*logits), expected)


@few
@given(pairs)
def test_equal_to_binary_cross_entropy(logits):
    real, fake = logits
    bce = F.binary_cross_entropy_with_logits
    expected = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
    torch.testing.assert_close(non_saturating_D(real, fake), expected)
    torch.testing.assert_close(non_saturating_G(real, fake), bce(fake, torch.ones_like(fake)))


@few
@given(pairs, st.floats(0, 0.5))
def test_label_smoothing_changes_the_target_of_real_images_alone(logits, smoothing):
    real, fake = logits
    bce = F.binary_cross_entropy_with_logits
    expected = bce(real, torch.full_like(real, 1 - smoothing)) + bce(fake, torch.zeros_like(fake))
    torch.testing.assert_close(non_saturating_D(real, fake, smoothing=smoothing), expected)


def test_label_smoothing_pushes_overconfident_real_logits_down():
    """The push on a real logit is zero at probability 1 - s."""
    zero = torch.zeros(1)
    for logit, push in [(math.log(9) - 1, 1), (math.log(9), 0), (math.log(9) + 1, -1)]:
        real = torch.tensor([logit], requires_grad=True)
        non_saturating_D(real, zero, smoothing=0.1).backward()
        pushed = -real.grad.item()
        assert np.sign(pushed) * (abs(pushed) > 1e-6) == push


@every_loss
def test_D_raises_real_and_lowers_fake_logits_and_G_raises_fake_ones(name):
    real_by_D, fake_by_D, fake_by_G = pushes(name, torch.full((3,), 0.5), torch.full((3,), 0.5))
    assert (real_by_D > 0).all()
    assert (fake_by_D < 0).all()
    assert (fake_by_G > 0).all()


@every_loss
@pytest.mark.parametrize("extreme", [1e4, -1e4])
def test_losses_and_gradients_are_finite_where_sigmoid_saturates(name, extreme):
    """log(sigmoid(-200)) is -inf in float32."""
    for real, fake in [(extreme, extreme), (extreme, -extreme)]:
        real, fake = torch.full((2,), real), torch.full((2,), fake)
        for loss in LOSSES[name][:2]:
            assert torch.isfinite(loss(real, fake))
        for push in pushes(name, real, fake):
            assert torch.isfinite(push).all()
    smoothed = non_saturating_D(torch.full((2,), extreme), torch.full((2,), extreme), smoothing=0.1)
    assert torch.isfinite(smoothed)


@every_loss
def test_the_gradient_of_a_losing_network_does_not_vanish(name):
    """The saturating loss log(1 - D(G(z))) has no gradient where G needs it most."""
    _, _, fake_by_G = pushes(name, torch.tensor([200.0]), torch.tensor([-200.0]))
    real_by_D, fake_by_D, _ = pushes(name, torch.tensor([-200.0]), torch.tensor([200.0]))
    assert fake_by_G >= 1
    assert real_by_D >= 1
    assert fake_by_D <= -1


@few
@given(pairs, st.floats(-30, 30))
def test_relativistic_and_wasserstein_losses_ignore_a_shift_of_all_logits(logits, shift):
    real, fake = logits
    for name in ("relativistic", "wasserstein"):
        D = LOSSES[name].D
        torch.testing.assert_close(D(real + shift, fake + shift), D(real, fake))


@every_loss
@few
@given(pairs)
def test_only_the_relativistic_loss_of_G_depends_on_real_logits(name, logits):
    real, fake = logits
    loss, other = LOSSES[name].G(real, fake), LOSSES[name].G(real + 1, fake)
    if name == "relativistic":
        assert other > loss
    else:
        assert torch.equal(other, loss)


@few
@given(pairs)
def test_the_relativistic_loss_of_G_is_that_of_D_with_exchanged_roles(logits):
    real, fake = logits
    loss = LOSSES["relativistic"]
    D, G = loss.D, loss.G
    assert torch.equal(G(real, fake), D(fake, real))


@few
@given(pairs, st.randoms())
def test_relativistic_losses_do_not_depend_on_the_order_of_images(logits, random):
    """All real images are compared with all fake ones."""
    real, fake = logits
    shuffled = fake[random.sample(range(len(fake)), len(fake))]
    for loss in LOSSES["relativistic"][:2]:
        torch.testing.assert_close(loss(real, shuffled), loss(real, fake))


def test_the_non_saturating_loss_at_chance_is_twice_log_2():
    zero = torch.zeros(3)
    torch.testing.assert_close(non_saturating_D(zero, zero), torch.tensor(2 * math.log(2)))
    torch.testing.assert_close(non_saturating_G(zero, zero), torch.tensor(math.log(2)))


@every_loss
def test_loss_at_chance_is_the_lowest_loss_of_equal_logits(name):
    loss = LOSSES[name]
    same = torch.linspace(-3, 3, 601, dtype=torch.float64)
    losses = [float(loss.D(a.expand(4), a.expand(4))) for a in same]
    if math.isnan(loss.loss_at_chance):
        assert max(map(abs, losses)) == 0
    else:
        assert min(losses) == pytest.approx(loss.loss_at_chance, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "real", "fake", "accuracies"),
    [
        ("non-saturating", [1.0, 2.0, -1.0, 0.1], [-1.0, -2.0, -0.1, 1.0], (0.75, 0.75)),
        ("hinge", [1.0, 2.0, 3.0, 0.1], [-1.0, 2.0, 0.1, 1.0], (1.0, 0.25)),
        ("least-squares", [0.6, 0.4, 1.0, 2.0], [0.4, 0.6, 0.0, -1.0], (0.75, 0.75)),
        # Means of the fakes: 11; of the reals: 13.
        ("wasserstein", [10.0, 12.0, 14.0, 16.0], [9.0, 10.0, 11.0, 14.0], (0.75, 0.75)),
        ("relativistic", [10.0, 12.0, 14.0, 16.0], [9.0, 10.0, 11.0, 14.0], (0.75, 0.75)),
    ],
)
def test_metrics_of_D_are_relative_to_the_threshold_of_its_loss(name, real, fake, accuracies):
    loss = LOSSES[name]
    metrics = discriminator_metrics(loss, torch.tensor(real), torch.tensor(fake))
    assert (float(metrics["accuracy_real"]), float(metrics["accuracy_fake"])) == accuracies
    threshold = {"least-squares": 0.5, "wasserstein": 12.0, "relativistic": 12.0}.get(name, 0.0)
    for key, logits in (("D_real", real), ("D_fake", fake)):
        expected = np.mean([1 / (1 + math.exp(threshold - logit)) for logit in logits])
        assert float(metrics[key]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["non-saturating", "hinge", "least-squares"])
def test_at_the_decision_threshold_D_pushes_reals_and_fakes_equally(name):
    logits = torch.full((3,), LOSSES[name].decision_threshold)
    real_by_D, fake_by_D, _ = pushes(name, logits.clone(), logits.clone())
    torch.testing.assert_close(real_by_D, -fake_by_D)
