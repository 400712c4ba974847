"""Adversarial losses as pure functions of logits, and penalties on the gradient of D.

Every loss is a pair of functions with one signature, so that the training step is the same for all:

    *_D(real_logits [N], fake_logits [N]) -> scalar that D minimises
    *_G(real_logits [N], fake_logits [N]) -> scalar that G minimises

Only the relativistic G reads `real_logits`.

The penalties are added to the loss of D. They keep D smooth, without which the game of the two
networks need not converge (Mescheder et al. 2018). The caller multiplies them by their weights.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


def non_saturating_D(real_logits: Tensor, fake_logits: Tensor, smoothing: float = 0.0) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), averaged: Goodfellow et al. 2014, equation 1.

    `smoothing` s in [0, 1) lowers the target of real images to 1 - s: their loss is smallest at the
    logit log((1 - s) / s). One-sided label smoothing, Salimans et al. 2016, section 3.4.
    """
    # softplus(-a) is -log sigmoid(a) without its overflow, and softplus(a) - softplus(-a) = a.
    real = F.softplus(-real_logits) + smoothing * real_logits
    return real.mean() + F.softplus(fake_logits).mean()


def non_saturating_G(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(G(z)), averaged: Goodfellow et al. 2014, end of section 3."""
    return F.softplus(-fake_logits).mean()


def hinge_D(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))), averaged: Lim and Ye 2017; Miyato et al. 2018,
    equation 16. Logits beyond the margin of 1 cost nothing and have no gradient.
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

    An estimate of the Wasserstein distance only while D is Lipschitz: use it with
    `gradient_penalty`.
    """
    return fake_logits.mean() - real_logits.mean()


def linear_G(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-D(G(z)), averaged: the loss of G in both the hinge and the Wasserstein game."""
    return -fake_logits.mean()


def relativistic_D(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(x) - D(G(z))), averaged over all pairs of a real and a fake image.

    RpGAN: Jolicoeur-Martineau 2019, with N pairs. The mean of all N^2 has the same expectation and
    less variance. Needs R1 and R2 to converge: Huang et al. 2024 (R3GAN), section 2.
    """
    return F.softplus(fake_logits - real_logits[:, None]).mean()


def relativistic_G(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(G(z)) - D(x)) over the same pairs: G descends it by making D rank fakes
    above reals."""
    return F.softplus(real_logits - fake_logits[:, None]).mean()


class AdversarialLoss(NamedTuple):
    """The losses of D and of G, and the reference points that logs and diagnostics need."""

    D: Callable[..., Tensor]
    G: Callable[[Tensor, Tensor], Tensor]
    loss_at_chance: float
    """The lowest loss of a D that gives all images the same logit; nan where losses have no
    scale."""
    decision_threshold: float | None = 0.0
    """D calls an image real above this logit; None where only differences of logits count."""


LOSSES = {
    "non-saturating": AdversarialLoss(
        non_saturating_D, non_saturating_G, loss_at_chance=2 * math.log(2)
    ),
    "hinge": AdversarialLoss(hinge_D, linear_G, loss_at_chance=2.0),
    "least-squares": AdversarialLoss(
        least_squares_D, least_squares_G, loss_at_chance=0.25, decision_threshold=0.5
    ),
    "wasserstein": AdversarialLoss(
        wasserstein_D, linear_G, loss_at_chance=math.nan, decision_threshold=None
    ),
    "relativistic": AdversarialLoss(
        relativistic_D, relativistic_G, loss_at_chance=math.log(2), decision_threshold=None
    ),
}


def discriminator_metrics(
    loss: AdversarialLoss, real_logits: Tensor, fake_logits: Tensor
) -> dict[str, Tensor]:
    """Mean probability and accuracy of D on real and on fake images: four 0-dim tensors.

    Without a decision threshold a real image counts as recognised when its logit is above the mean
    of the fake ones, and a fake image when its logit is below the mean of the real ones.
    """
    threshold = loss.decision_threshold
    low: Tensor | float = fake_logits.mean() if threshold is None else threshold
    high: Tensor | float = real_logits.mean() if threshold is None else threshold
    middle = (low + high) / 2
    return {
        "D_real": (real_logits - middle).sigmoid().mean(),
        "D_fake": (fake_logits - middle).sigmoid().mean(),
        "accuracy_real": (real_logits > low).float().mean(),
        "accuracy_fake": (fake_logits < high).float().mean(),
    }


def squared_gradient_norms(logits: Tensor, images: Tensor) -> Tensor:
    """‖∇ₓ D(x)‖² of every image: Mescheder et al. 2018, equations 9 and 10.

    Their mean is R1 on real images and R2 on fake ones, whose weight there is gamma / 2. logits:
    [N], D's output for `images`; images: [N, ...], which must have required gradients when D saw
    them -> [N]. Makes no further pass through D.
    """
    return _image_gradients(logits, images).square().sum(1)


def gradient_penalty(
    D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, alpha: Tensor
) -> Tensor:
    """Mean of (‖∇D(x)‖ - 1)² at x = alpha real + (1 - alpha) fake: Gulrajani et al. 2017 (WGAN-GP),
    equation 3; its weight there is 10.

    real, fake: [N, C, S, S]; alpha: [N, 1, 1, 1] from U(0, 1) -> scalar. Where a gradient vanishes,
    the derivative of its norm is taken as zero.
    """
    between = (alpha * real + (1 - alpha) * fake).detach().requires_grad_(True)
    # Unlike a square root of a sum, this norm has a finite derivative at zero.
    norms = torch.linalg.vector_norm(_image_gradients(D(between), between), dim=1)
    return (norms - 1).square().mean()


def _image_gradients(logits: Tensor, images: Tensor) -> Tensor:
    """∇ₓ of the sum of all logits, differentiable -> [N, numbers in an image].

    With batch norm in D this includes the effect of an image on the logits of the others. In
    float32 at least, since bfloat16 has too few digits for a sum over an image.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.flatten(1).to(torch.promote_types(gradient.dtype, torch.float32))
