"""Augmentation whose probability follows how much D overfits: Karras et al. 2020 (ADA,
arXiv:2006.06676).
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from dcgan.config import TrainConfig
from dcgan.data import count_held_out
from dcgan.training.augmentation import augment
from dcgan.training.memorization import Memorization

OVERFITTING_TARGET = 0.6  # of r_t: Karras et al. 2020 (ADA), figure 5
MEMORIZATION_TARGET = 0.5  # of r_v
_ADAPTIVE_BELOW = 5_000  # training images: r_t takes more for overfitted too
# Images in which the probability may go from 0 to 1. Karras et al. take 500k, 2 % of their runs,
# and 100k for CIFAR-10. Runs of 100k images must be able to reach the probability they need too.
_RAMP_IMAGES = 50_000
# Above, the augmentation leaks into generated images: Karras et al. 2020, figure 4; docs/recipe.md.
_MAX_PROBABILITY = 0.6


class AdaptiveAugmentation:
    """The augmentations of a configuration, and their probability, which may adapt.

    Where images are held out from training, it follows D's memorisation (r_v of the paper), which
    needs no sign of D's logits; else how well D separates real from fake (r_t).
    """

    def __init__(self, config: TrainConfig, device: torch.device):
        self.batch_size = config.batch_size
        self.adaptive = config.augment_p == "adaptive"
        p = 0.0 if isinstance(config.augment_p, str) else float(config.augment_p)
        self.kinds = config.augment if self.adaptive or p else ()
        self.probability = torch.full((), p, device=device)
        self.memorization = Memorization(device)

    def __call__(self, images: Tensor, noise: Tensor) -> Tensor:
        """Augment images differentiably with the current probability; noise: [n, NOISE_DIM]."""
        return augment(images, noise, self.probability, self.kinds)

    def follow_overfitting(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Take in D's logits [N] of a batch; return the heuristic r_t."""
        overfitting = overfitting_heuristic(real_logits, fake_logits)
        if self.memorization.held_out is None:
            self._adapt(overfitting, OVERFITTING_TARGET)
        return overfitting

    def follow_memorization(
        self, scalars: Mapping[str, Tensor], held_out_logits: list[Tensor]
    ) -> dict[str, Tensor]:
        """Take in the mean logits of a step, and of held-out images if D has scored any before it.

        Returns scalars to log.
        """
        if self.memorization.held_out is None:
            return {}
        real, fake, deviation = (scalars[f"logit_{name}"] for name in ("real", "fake", "std"))
        for held_out in held_out_logits:
            self.memorization.add(real, held_out, fake, deviation)
        ratio = self.memorization.ratio()
        self._adapt(ratio, MEMORIZATION_TARGET)
        return {"memorization": ratio}

    def _adapt(self, heuristic: Tensor, target: float) -> None:
        if self.adaptive:
            p = updated_probability(self.probability, heuristic, target, self.batch_size)
            self.probability.copy_(p)

    def tensors(self) -> dict[str, Tensor]:
        """What a resumed run needs; no copies."""
        return {"augment.p": self.probability, "memorization.means": self.memorization.means}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from the `tensors` of a checkpoint."""
        if self.adaptive:  # else the option sets it
            self.probability.copy_(tensors["augment.p"])
        if "memorization.means" in tensors:  # older runs have none
            self.memorization.means.copy_(tensors["memorization.means"])


def overfitting_heuristic(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """How well D separates real from fake: 0 if it guesses, 1 if all reals rank above all fakes.

    r_t = E[sign D(x)] of Karras et al. 2020 (ADA), equation 1, with zero replaced by the median of
    all logits. They agree for a balanced D; relativistic and Wasserstein losses leave the zero of D
    undetermined. real_logits, fake_logits: [N] -> 0-dim in [-1, 1].
    """
    ordered = torch.cat([real_logits, fake_logits]).sort().values
    median = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return (real_logits - median).sign().mean()


def resolve_probability(config: TrainConfig, images: int) -> float | Literal["adaptive"]:
    """--augment-p for a data set of so many images.

    "auto" becomes "adaptive" where there are augmentations and either images are held out or there
    are few, and 0 otherwise.
    """
    if config.augment_p != "auto":
        return config.augment_p
    measured = count_held_out(images, config.held_out_share) or images < _ADAPTIVE_BELOW
    return "adaptive" if config.augment and measured else 0.0


def updated_probability(
    probability: Tensor,
    heuristic: Tensor,
    target: float,
    images: int,
    ramp_images: int = _RAMP_IMAGES,
) -> Tensor:
    """The augmentation probability of the next step: Karras et al. 2020 (ADA), section 3.1.

    Rises by `images` / `ramp_images`, with `images` the batch size, while a heuristic of
    overfitting is above its target, and falls by as much below it. 0-dim tensors -> 0-dim.
    """
    change = (heuristic - target).sign() * (images / ramp_images)
    return (probability + change).clamp(0, _MAX_PROBABILITY)
