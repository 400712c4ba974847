"""The objectives against NumPy in float64, and by what they push logits to do."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.training.losses import LOSSES, non_saturating_D, non_saturating_G


def of_length(n: int) -> st.SearchStrategy[torch.Tensor]:
    return st.lists(st.floats(-30, 30), min_size=n, max_size=n).map(
        lambda values: torch.tensor(values, dtype=torch.float64)
    )


few = settings(deadline=None, max_examples=40)
pairs = st.integers(1, 6).flatmap(lambda n: st.tuples(of_length(n), of_length(n)))
every_objective = pytest.mark.parametrize("name", LOSSES)


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
        lambda r, f: minus_log_sigmoid(r - f).mean(),
        lambda r, f: minus_log_sigmoid(f - r).mean(),
    ),
}


def pushes(name: str, real: torch.Tensor, fake: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Where descent moves the logits: D's real ones, D's fake ones, G's fake ones."""
    loss = LOSSES[name]
    real, fake = real.requires_grad_(), fake.requires_grad_()
    of_D = torch.autograd.grad(loss.D(real, fake), (real, fake))
    of_G = torch.autograd.grad(loss.G(real.detach(), fake), fake)
    return tuple(-gradient for gradient in (*of_D, *of_G))


@every_objective
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
def test_smoothing_changes_the_target_of_real_images_alone(logits, smoothing):
    real, fake = logits
    bce = F.binary_cross_entropy_with_logits
    expected = bce(real, torch.full_like(real, 1 - smoothing)) + bce(fake, torch.zeros_like(fake))
    torch.testing.assert_close(non_saturating_D(real, fake, smoothing=smoothing), expected)


def test_smoothing_makes_a_sure_discriminator_doubt():
    """At probability 1 - s the real logits rest; above they are pushed down."""
    zero = torch.zeros(1)
    for logit, push in [(math.log(9) - 1, 1), (math.log(9), 0), (math.log(9) + 1, -1)]:
        real = torch.tensor([logit], requires_grad=True)
        non_saturating_D(real, zero, smoothing=0.1).backward()
        assert round(-real.grad.item(), 6) * push >= 0
        assert (abs(real.grad.item()) < 1e-6) == (push == 0)


@every_objective
def test_logits_are_pushed_the_right_way(name):
    """Undecided, D raises real logits and lowers fake ones, and G raises fake ones."""
    real_by_D, fake_by_D, fake_by_G = pushes(name, torch.full((3,), 0.5), torch.full((3,), 0.5))
    assert (real_by_D > 0).all()
    assert (fake_by_D < 0).all()
    assert (fake_by_G > 0).all()


@every_objective
@pytest.mark.parametrize("extreme", [1e4, -1e4])
def test_finite_where_sigmoid_saturates(name, extreme):
    """log(sigmoid(-200)) is -inf in float32."""
    for real, fake in [(extreme, extreme), (extreme, -extreme)]:
        real, fake = torch.full((2,), real), torch.full((2,), fake)
        for loss in LOSSES[name][:2]:
            assert torch.isfinite(loss(real, fake))
        for push in pushes(name, real, fake):
            assert torch.isfinite(push).all()
    smoothed = non_saturating_D(torch.full((2,), extreme), torch.full((2,), extreme), smoothing=0.1)
    assert torch.isfinite(smoothed)


@every_objective
def test_a_losing_network_is_pushed_however_far_behind(name):
    """The saturating loss log(1 - D(G(z))) has no gradient where G needs it most."""
    _, _, fake_by_G = pushes(name, torch.tensor([200.0]), torch.tensor([-200.0]))
    real_by_D, fake_by_D, _ = pushes(name, torch.tensor([-200.0]), torch.tensor([200.0]))
    assert fake_by_G >= 1
    assert real_by_D >= 1
    assert fake_by_D <= -1


@few
@given(pairs, st.floats(-30, 30))
def test_only_differences_count_where_logits_have_no_zero(logits, shift):
    real, fake = logits
    for name in ("relativistic", "wasserstein"):
        D = LOSSES[name].D
        torch.testing.assert_close(D(real + shift, fake + shift), D(real, fake))


@every_objective
@few
@given(pairs)
def test_real_logits_reach_the_loss_of_G_only_where_it_is_relativistic(name, logits):
    real, fake = logits
    loss, other = LOSSES[name].G(real, fake), LOSSES[name].G(real + 1, fake)
    if name == "relativistic":
        assert other > loss
    else:
        assert torch.equal(other, loss)


@few
@given(pairs)
def test_the_relativistic_game_is_symmetric(logits):
    """G's loss is D's with the roles exchanged."""
    real, fake = logits
    loss = LOSSES["relativistic"]
    D, G = loss.D, loss.G
    assert torch.equal(G(real, fake), D(fake, real))


def test_pairs_are_of_equal_index():
    """All with all would give another number."""
    real, fake = torch.tensor([0.0, 10.0]), torch.tensor([0.0, 10.0])
    for loss in LOSSES["relativistic"][:2]:
        torch.testing.assert_close(loss(real, fake), torch.tensor(math.log(2)))


def test_an_undecided_discriminator_costs_twice_log_2():
    zero = torch.zeros(3)
    torch.testing.assert_close(non_saturating_D(zero, zero), torch.tensor(2 * math.log(2)))
    torch.testing.assert_close(non_saturating_G(zero, zero), torch.tensor(math.log(2)))


@every_objective
def test_the_loss_of_a_guess_is_that_of_equal_logits(name):
    """The least that a D gets which gives all images the same, unless losses have no scale."""
    loss = LOSSES[name]
    same = torch.linspace(-3, 3, 601, dtype=torch.float64)
    losses = [float(loss.D(a.expand(4), a.expand(4))) for a in same]
    if math.isnan(loss.loss_at_chance):
        assert max(map(abs, losses)) == 0
    else:
        assert min(losses) == pytest.approx(loss.loss_at_chance, abs=1e-4)
