"""Adversarial losses as pure functions of logits."""

import torch.nn.functional as F
from torch import Tensor


def non_saturating_D(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), averaged: Goodfellow et al. 2014, equation 1.

    Logits: [N] each -> scalar. softplus(-a) is -log sigmoid(a) without its overflow.
    """
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def non_saturating_G(fake_logits: Tensor) -> Tensor:
    """-log D(G(z)), averaged: Goodfellow et al. 2014, end of section 3. [N] -> scalar."""
    return F.softplus(-fake_logits).mean()
