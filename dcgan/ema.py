"""Exponential moving average of the generator."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

RAMP = 0.05  # the half-life is at most this share of the images seen so far


def decay(images: int, batch: int, half_life: int) -> float:
    """Weight of the old average when `images` have been seen, `batch` of them in this step.

    `half_life` is in images. Early in a run it is shortened to a share of what has been seen, so
    that the initial weights are forgotten (Karras et al. 2020, "ADA", do the same).
    """
    return 0.5 ** (batch / max(min(half_life, RAMP * images), 1e-8))


@torch.no_grad()
def recalibrate(G: nn.Module, latents: Iterable[Tensor]) -> None:
    """Give batch norm the plain means of its statistics over some batches of latents.

    Averages over a run lag behind weights that move fast; these are of the weights as they are
    (standing statistics: Brock et al. 2019, section 4.1). The batches count alike, so they should
    be of one size. The mode of G stays as it was.
    """
    norms = [module for module in G.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta, training = [norm.momentum for norm in norms], G.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean
    G.train()
    for z in latents:
        G(z)
    G.train(training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


class Average:
    """Keeps `average`, a copy of `model`, as the average of what `model` has been.

    The rule for batch norm: running means and variances are averaged like the weights, with the
    same decay, because they describe the activations that those weights make; the counter of
    batches is copied.

    The tensors are looked up once, since a search through the modules would cost as much as the
    arithmetic: neither module may be given others later, as `.to(device)` does.
    """

    def __init__(self, average: nn.Module, model: nn.Module):
        self.floating, self.counters = ([], []), ([], [])
        for pair in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
            kind = self.floating if pair[0].is_floating_point() else self.counters
            for tensors, tensor in zip(kind, pair, strict=True):
                tensors.append(tensor)

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Move the average towards the model: a <- decay a + (1 - decay) m, without a host sync."""
        torch._foreach_lerp_(*self.floating, weight=1.0 - decay)
        if self.counters[0]:
            torch._foreach_copy_(*self.counters)
