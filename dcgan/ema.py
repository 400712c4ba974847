"""Exponential moving average of the generator."""

import torch
from torch import nn

RAMP = 0.05  # the half-life is at most this share of the images seen so far


def decay(images: int, batch: int, half_life: int) -> float:
    """Weight of the old average when `images` have been seen, `batch` of them in this step.

    `half_life` is in images. Early in a run it is shortened to a share of what has been seen, so
    that the initial weights are forgotten (Karras et al. 2020, "ADA", do the same).
    """
    return 0.5 ** (batch / max(min(half_life, RAMP * images), 1e-8))


@torch.no_grad()
def update(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move `average` towards `model`: a <- decay a + (1 - decay) m, without a host sync.

    The rule for batch norm: running means and variances are averaged like the weights, with the
    same decay, because they describe the activations that those weights make; the counter of
    batches is copied.
    """
    floating, counters = [], []
    for a, m in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        (floating if a.is_floating_point() else counters).append((a, m))
    torch._foreach_lerp_([a for a, _ in floating], [m for _, m in floating], weight=1.0 - decay)
    for a, m in counters:
        a.copy_(m)
