"""What a change of latents does to the labels of the images, in numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan.latent.directions import move

SURE = 2.0  # a logit of at least this size: the classifier is 88 % sure
_FRACTIONS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # of the largest step
_MARGIN = 0.5  # of a logit beyond 0, for a label that counts as set while steps are tried


@dataclass(frozen=True)
class Effect:
    """What happens to images that lack a label when it is to be set."""

    index: int  # of the label
    count: int  # images
    set: float  # the share that gets the label
    flips: tuple[float, ...]  # for every label, the share of the images in which it changes

    def worst(self, tied: Sequence[int] = ()) -> tuple[float, int]:
        """The largest share of flips of another label, and which one; `tied` ones do not count."""
        others = [i for i in range(len(self.flips)) if i != self.index and i not in tied]
        return max(((self.flips[i], i) for i in others), default=(0.0, self.index))


def measure_effect(before: Tensor, after: Tensor, index: int, sure: float = 0.0) -> Effect:
    """Compare logits [N, K] of images that lack the label `index` with those after a change.

    Flips of a label are shares of the images in which its logit was at least `sure` away from 0
    before: where a classifier is not sure, a change of the sign says little.
    """
    counted = before.abs() >= sure
    flips = (counted & ((before > 0) != (after > 0))).sum(0) / counted.sum(0).clamp(min=1)
    share = (after[:, index] > 0).float().mean().item()
    return Effect(index, len(before), share, tuple(flips.tolist()))


def move_until_set(
    logits: Callable[[Tensor], Tensor],
    z: Tensor,
    direction: Tensor,
    largest: float,
    index: int,
    distribution: str,
    wanted: bool = True,
) -> tuple[Tensor, Tensor]:
    """Move each latent along a direction by the smallest of some steps that sets a label; or, not
    `wanted`, against it until the label is gone.

    Steps are fifths of the `largest`, from 0 on; the largest is taken where none does, and those
    against the direction are negative. -> logits [N, K] of the moved latents, and the steps [N].
    """
    sign = 1.0 if wanted else -1.0
    steps = torch.full((len(z),), sign * largest)
    found: Tensor | None = None
    waiting = torch.arange(len(z))
    for fraction in _FRACTIONS:
        scored = logits(move(z[waiting], sign * fraction * largest * direction, distribution))
        found = scored.clone() if found is None else found.index_copy(0, waiting, scored)
        is_set = sign * scored[:, index] > _MARGIN
        steps[waiting[is_set]] = sign * fraction * largest
        waiting = waiting[~is_set]
        if len(waiting) == 0:
            break
    assert found is not None
    return found, steps


@dataclass(frozen=True)
class Naming:
    """The label that a direction moves most, and its share of all movement."""

    index: int
    sign: int  # 1 where the label appears along the direction, -1 where it disappears
    share: float  # of the sum of the squared changes of all logits, each in its own deviations


def name_direction(down: Tensor, up: Tensor, deviations: Tensor) -> Naming:
    """Name a direction by the logits [N, K] at its two ends. deviations: [K], of all samples."""
    change = (up - down).mean(0) / deviations.clamp(min=1e-6)
    squares = change.square()
    index = int(squares.argmax())
    total = squares.sum().item()
    share = squares[index].item() / total if total else 0.0
    return Naming(index, 1 if change[index] >= 0 else -1, share)
