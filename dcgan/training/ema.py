"""Exponential moving average (EMA) of the generator's weights."""

import torch
from torch import Tensor, nn

_MAX_HALF_LIFE_SHARE = 0.05  # of the images seen so far


def ema_decay(images: int, batch: int, half_life: int) -> float:
    """Weight of the old average when `images` have been seen, `batch` of them in this step.

    `half_life` is in images. Early in a run it is limited to a share of the images seen so far, so
    that the initial weights are forgotten: Karras et al. 2020 (StyleGAN2-ADA, `ema_rampup`).
    """
    return 0.5 ** (batch / max(min(half_life, _MAX_HALF_LIFE_SHARE * images), 1e-8))


class EMA:
    """Keeps the parameters of `average`, a copy of `model`, as the EMA of those of `model`.

    Running statistics of batch norm are not averaged: an average of weights has other activations
    than the model, so its statistics have to be measured (`networks.batch_norm.recalibrate`) before
    it is used. docs/recipe.md has the distances with averaged and with measured statistics.

    The parameters are looked up once, since a search through the modules would cost as much as the
    arithmetic: do not replace them later, as `.to(device)` does.
    """

    def __init__(self, average: nn.Module, model: nn.Module):
        self._averages: list[Tensor] = list(average.parameters())
        self._weights: list[Tensor] = list(model.parameters())

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """average <- decay * average + (1 - decay) * model, without waiting for the device."""
        torch._foreach_lerp_(self._averages, self._weights, weight=1.0 - decay)
