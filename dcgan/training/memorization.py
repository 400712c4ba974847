"""How much of what D knows it has learnt by heart: training images against held-out ones."""

import torch
from torch import Tensor

from dcgan.training.batches import Batch, BatchLoader

_EVERY = 8  # steps: D scores as many held-out images as a batch has, which takes 1 % of the time
_DECAY = 0.9  # of the running means, from one batch of held-out images to the next
# Standard deviations of D's logits of training images between these and fakes: where D tells them
# apart by less, the ratio is noise.
_MIN_DISTANCE = 0.5


class Memorization:
    """r_v of Karras et al. 2020 (ADA, arXiv:2006.06676, equation 1), along training:

    (E[D(train)] - E[D(held out)]) / (E[D(train)] - E[D(fake)]), which is 0 if D knows held-out
    images as well as training images, and 1 if it takes them for fakes. It does not depend on the
    zero of D's logits, which relativistic and Wasserstein losses leave undetermined.
    """

    def __init__(self, device: torch.device):
        self.held_out: BatchLoader | None = None  # None: no images are held out
        # Running means of the numerator, the denominator, and the variance of D(train).
        self.means = torch.zeros(3, device=device)

    def batch(self, step: int) -> Batch | None:
        """The held-out images that D scores before a step; None where it scores none."""
        if self.held_out is None or step % _EVERY:
            return None
        return self.held_out.at(step)

    def add(self, train: Tensor, held_out: Tensor, fake: Tensor, deviation: Tensor) -> None:
        """Take in the mean logits that the same D gives to each kind of images, and the standard
        deviation of those of training images. All are 0-dim.
        """
        new = torch.stack([train - held_out, train - fake, deviation.square()])
        decay = torch.where(self.means.any(), _DECAY, 0.0)  # the first are the means themselves
        self.means.lerp_(new, 1 - decay)

    def ratio(self) -> Tensor:
        """The ratio so far, 0-dim in [-1, 1]; 0 while D hardly tells real from fake."""
        numerator, denominator, variance = self.means.unbind()
        ratio = (numerator / denominator).clamp(-1, 1)
        tells_apart = denominator > _MIN_DISTANCE * variance.sqrt()
        return torch.where(tells_apart, ratio, torch.zeros_like(ratio))
