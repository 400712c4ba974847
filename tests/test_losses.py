import math

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from dcgan.losses import non_saturating_D, non_saturating_G

logits = st.lists(st.floats(-30, 30), min_size=1, max_size=6).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


@given(logits, logits)
def test_equal_to_binary_cross_entropy(real, fake):
    bce = F.binary_cross_entropy_with_logits
    expected = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
    torch.testing.assert_close(non_saturating_D(real, fake), expected)
    torch.testing.assert_close(non_saturating_G(fake), bce(fake, torch.ones_like(fake)))


def test_an_undecided_discriminator_costs_twice_log_2():
    zero = torch.zeros(3)
    torch.testing.assert_close(non_saturating_D(zero, zero), torch.tensor(2 * math.log(2)))
    torch.testing.assert_close(non_saturating_G(zero), torch.tensor(math.log(2)))


def test_finite_with_a_gradient_where_sigmoid_saturates():
    """log(sigmoid(-200)) is -inf in float32; the gradient must still push."""
    fake = torch.tensor([-200.0], requires_grad=True)
    loss = non_saturating_G(fake)
    loss.backward()
    assert loss.item() == 200
    assert fake.grad.item() == -1
