"""Non-finite numbers (NaN, infinity): detected on the device, in the step in which they arise."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dcgan.errors import UserError


class Diverged(UserError):
    """A loss, a gradient or a weight is not finite."""

    def __init__(self, network: str, step: int):
        super().__init__(f"{network} is not finite in step {step}")


class NonFiniteGuard:
    """Detects the first non-finite loss or gradient, and stops both networks from learning then.

    `found_non_finite` becomes 1 and stays so. A fused Adam takes it as its `found_inf` and then
    leaves parameters and moments as they are. So they remain those of before the failed step, and
    the host need not wait for the device in every step.
    """

    def __init__(self, device: torch.device):
        self.found_non_finite = torch.zeros((), device=device)  # 0 or 1
        # Steps with non-finite numbers before G's half, and after it: they tell the first such step
        # and its network.
        self._before_G = torch.zeros((), device=device)
        self._after_G = torch.zeros((), device=device)

    def check_D(self, loss: Tensor, gradient_norm: Tensor) -> None:
        """Call before D's optimizer steps."""
        self.found_non_finite.masked_fill_(~(loss + gradient_norm).isfinite(), 1.0)

    def check_G(self, loss: Tensor, gradient_norm: Tensor) -> None:
        """Call before G's optimizer steps, once in a training step."""
        self._before_G += self.found_non_finite
        self.found_non_finite.masked_fill_(~(loss + gradient_norm).isfinite(), 1.0)
        self._after_G += self.found_non_finite

    def raise_if_found(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Raise Diverged unless all steps up to this one were finite, and these `tensors` are.

        Names the first step that was not, and G or D. Waits for the device.
        """
        counts = torch.stack([self._before_G, self._after_G, self.found_non_finite])
        before_G, after_G, found = counts.tolist()
        names = names_of_non_finite(tensors)
        if found:
            # Non-finite images of G reach D's loss first; G's batch-norm statistics show whose
            # fault it is.
            by_D = before_G == after_G and not any(name.startswith("G.") for name in names)
            # A failure on another process alone is not in this one's counts.
            raise Diverged("D" if by_D else "G", step - max(int(after_G), 1) + 1)
        if names:
            raise Diverged(names[0].split(".")[0], step)


def names_of_non_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of the tensors that hold a non-finite number. Waits for the device once."""
    floating = {name: value for name, value in tensors.items() if value.is_floating_point()}
    largest = torch.stack(torch._foreach_norm(list(floating.values()), torch.inf))
    finite = largest.isfinite().tolist()
    return [name for name, is_finite in zip(floating, finite, strict=True) if not is_finite]
