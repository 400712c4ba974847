"""Means of scalars over training steps, without waiting for the device at every step."""

import torch
from torch import Tensor


class ScalarMeans:
    """Sums of named scalars on their device, read as means with a single wait."""

    def __init__(self, totals: dict[str, float] | None = None, added: int = 0):
        """Start empty, or with the sums `totals` over `added` steps, as read from a checkpoint."""
        self._totals, self.added = totals or {}, added
        self.sums: dict[str, Tensor] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        """Add the 0-dim tensors of one step, without waiting for them."""
        if not self.sums:
            self.sums = {k: torch.full_like(v, self._totals.get(k, 0.0)) for k, v in values.items()}
        torch._foreach_add_(list(self.sums.values()), [values[name] for name in self.sums])
        self.added += 1

    def read(self) -> dict[str, float]:
        """Means since the last read. Waits for the device."""
        sums = torch.stack(list(self.sums.values())).tolist()
        means = {name: total / self.added for name, total in zip(self.sums, sums, strict=True)}
        self._totals, self.added, self.sums = {}, 0, {}
        return means


def mean_scalars(scalars: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of every 0-dim scalar over the micro-batches of a batch, on the device."""
    if len(scalars) == 1:
        return scalars[0]
    return {name: torch.stack([some[name] for some in scalars]).mean() for name in scalars[0]}
