"""Adversarial objectives as pure functions of logits, never of probabilities.

Each is a pair with one signature, so that the training step is the same for all:

    *_D(real_logits [N], fake_logits [N]) -> scalar, which D descends
    *_G(real_logits [N], fake_logits [N]) -> scalar, which G descends

Only the relativistic G looks at `real_logits`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


def non_saturating_D(real_logits: Tensor, fake_logits: Tensor, smoothing: float = 0.0) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), averaged: Goodfellow et al. 2014, equation 1.

    With `smoothing` s in [0, 1) the target of the real ones is 1 - s, and D is not drawn to
    logits above log((1 - s) / s): one-sided label smoothing, Salimans et al. 2016, section 3.4.
    """
    # softplus(-a) is -log sigmoid(a) without its overflow, and softplus(a) - softplus(-a) = a.
    real = F.softplus(-real_logits) + smoothing * real_logits
    return real.mean() + F.softplus(fake_logits).mean()


def non_saturating_G(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(G(z)), averaged: Goodfellow et al. 2014, end of section 3."""
    return F.softplus(-fake_logits).mean()


def hinge_D(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))), averaged: Lim and Ye 2017; Miyato et al. 2018,
    equation 16. What is beyond its margin costs nothing.
    """
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def least_squares_D(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """((D(x) - 1)^2 + D(G(z))^2) / 2, averaged: Mao et al. 2017, equation 9 (a = 0, b = 1)."""
    return ((real_logits - 1).square().mean() + fake_logits.square().mean()) / 2


def least_squares_G(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """(D(G(z)) - 1)^2 / 2, averaged: Mao et al. 2017, equation 9 (c = 1)."""
    return (fake_logits - 1).square().mean() / 2


def wasserstein_D(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """D(G(z)) - D(x), averaged: Arjovsky et al. 2017, equation 2.

    Means something only for a D that is kept smooth, as by `penalties.gradient_penalty`.
    """
    return fake_logits.mean() - real_logits.mean()


def linear_G(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-D(G(z)), averaged: the G of both the hinge and the Wasserstein objective."""
    return -fake_logits.mean()


def relativistic_D(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(x) - D(G(z))) over pairs, the i-th real image with the i-th fake one.

    RpGAN: Jolicoeur-Martineau 2019. Converges only with R1 and R2: Huang et al. 2024 (R3GAN),
    section 2.
    """
    return F.softplus(fake_logits - real_logits).mean()


def relativistic_G(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(G(z)) - D(x)) over the same pairs: G wins where D ranks the fake higher."""
    return F.softplus(real_logits - fake_logits).mean()


class Objective(NamedTuple):
    """What D and G descend."""

    D: Callable[..., Tensor]
    G: Callable[[Tensor, Tensor], Tensor]
    guess: float  # loss of a D that cannot tell; nan where losses have no scale
    middle: float | None = 0.0  # its logit; None where only differences count


OBJECTIVES = {
    "non-saturating": Objective(non_saturating_D, non_saturating_G, guess=2 * math.log(2)),
    "hinge": Objective(hinge_D, linear_G, guess=2.0),
    "least-squares": Objective(least_squares_D, least_squares_G, guess=0.25, middle=0.5),
    "wasserstein": Objective(wasserstein_D, linear_G, guess=math.nan, middle=None),
    "relativistic": Objective(relativistic_D, relativistic_G, guess=math.log(2), middle=None),
}


def scores(objective: Objective, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
    """How D tells the images apart: logits above `middle` call them real.

    Where only differences of logits mean something, a real image is told when its logit is above
    the mean of the fake ones, and a fake one when it is below the mean of the real ones.
    """
    low = middle = high = objective.middle
    if middle is None:
        low, high = fake_logits.mean(), real_logits.mean()
        middle = (low + high) / 2
    return {
        "D_real": (real_logits - middle).sigmoid().mean(),
        "D_fake": (fake_logits - middle).sigmoid().mean(),
        "accuracy_real": (real_logits > low).float().mean(),
        "accuracy_fake": (fake_logits < high).float().mean(),
    }
