"""Numbers that are not finite: noticed on the device, within the step that makes them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dcgan.errors import UserError


class Diverged(UserError):
    """A loss, a gradient or a weight is not finite."""

    def __init__(self, network: str, step: int):
        super().__init__(f"{network} is not finite in step {step}")


class Watch:
    """Notices the first numbers that are not finite, and lets no network learn any more.

    `broken` becomes 1 then. A fused Adam that has it as its `found_inf` changes nothing from there
    on, so that weights and moments stay as they were before the step that failed, and the host need
    not ask about every step.
    """

    def __init__(self, device: torch.device):
        self.broken = torch.zeros((), device=device)
        # Steps that were broken before G's part of them, and after it.
        self.before_G = torch.zeros((), device=device)
        self.after_G = torch.zeros((), device=device)

    def guard(self, optimizer: torch.optim.Adam) -> None:
        if optimizer.defaults["fused"]:  # the others do not know how to leave a step out
            optimizer.found_inf = self.broken

    def look_at_D(self, loss: Tensor, gradient_norm: Tensor) -> None:
        """Call before D's optimizer moves."""
        self.broken.masked_fill_(~(loss + gradient_norm).isfinite(), 1.0)

    def look_at_G(self, loss: Tensor, gradient_norm: Tensor) -> None:
        """Call before G's optimizer moves, once a step."""
        self.before_G += self.broken
        self.broken.masked_fill_(~(loss + gradient_norm).isfinite(), 1.0)
        self.after_G += self.broken

    def check(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Raise Diverged unless all has been finite up to this step, these `tensors` too.

        Names the first step that was not, and G or D. Waits for the device.
        """
        counts = torch.stack([self.before_G, self.after_G, self.broken])
        before_G, after_G, broken = counts.tolist()
        spoilt = not_finite(tensors)
        if broken:
            # Where G draws what is no image, its own statistics show it, and D only passes it on.
            by_D = before_G == after_G and not any(name.startswith("G.") for name in spoilt)
            # Where it was another process alone that saw it, none has been counted in this step.
            raise Diverged("D" if by_D else "G", step - max(int(after_G), 1) + 1)
        if spoilt:
            raise Diverged(spoilt[0].split(".")[0], step)


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of those that hold a number that is not finite. Waits for the device once."""
    floating = {name: value for name, value in tensors.items() if value.is_floating_point()}
    largest = torch.stack(torch._foreach_norm(list(floating.values()), torch.inf))
    finite = largest.isfinite().tolist()
    return [name for name, whole in zip(floating, finite, strict=True) if not whole]
