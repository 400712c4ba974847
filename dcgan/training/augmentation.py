"""Differentiable augmentation of what D sees, and how much of it.

D is shown real and fake images altered in the same ways, so that it cannot learn few images by
heart, and G's gradient flows back through the alterations: Zhao et al. 2020 (DiffAugment). Every
alteration is a pure function of images and of numbers from U(0, 1) that the caller draws, without
a wait for the device. It is linear in the images, up to a constant.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.networks.linear_operator import Linear

TARGET = 0.6  # of `overfitting`: Karras et al. 2020, figure 5
# Karras et al. take 500k images, 2 % of their runs, and 100k for CIFAR-10. Runs of 100k images
# must reach what they need too, and steps of 1 / 780 (batch 64) are still small.
RAMP_IMAGES = 50_000
MOST = 0.6  # at 0.8 drawn faces had the colours of the augmentation; Karras et al. 2020, figure 4
FEW = 5_000  # images that D is sure to overfit


def augment(
    images: Tensor, draws: Tensor, probability: Tensor | float, kinds: tuple[str, ...]
) -> Tensor:
    """Alter each image by each of `kinds` with a probability, one kind after the other.

    images: [N, C, S, S] in [-1, 1]; draws: [N, DRAWS] of U(0, 1), of which every kind has its own,
    whatever other kinds there are; probability: 0-dim or a number, 0 for never, 1 for always;
    kinds: names from KINDS -> [N, C, S, S] of the same dtype. Colours may leave [-1, 1]: D sees
    values that no image has, but a clamp would cut off G's gradient.
    """
    for kind in kinds:
        coin, *parameters = draws[:, COLUMNS[kind]].unbind(1)
        images = KINDS[kind](images, coin < probability, *parameters)
    return images


def colour(
    images: Tensor, applied: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor
) -> Tensor:
    """Add U(-0.5, 0.5) to an image, then stretch its distance from grey, pixel by pixel, by
    U(0, 2), then its distance from its mean by U(0.5, 1.5).
    """
    drawn = ((brightness - 0.5, 0.0), (2 * saturation, 1.0), (contrast + 0.5, 1.0))
    b, s, c = (
        torch.where(applied, value, none).to(images.dtype)[:, None, None, None]
        for value, none in drawn
    )
    # Both stretches leave a constant as it is, so that the order does not matter, and both are
    # symmetric: projections on what is grey, and on what is the same everywhere.
    stretch = partial(stretched, saturation=s, contrast=c)
    return Linear.apply(images, stretch, stretch) + b


def stretched(images: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Distances from grey times `saturation`, then from the mean times `contrast`, [N, 1, 1, 1]."""
    # Channel by channel, since the innermost dimension of three is too short for torch's loops.
    channels = images.unbind(1)
    grey = sum(channels) / len(channels)  # [N, S, S]
    mean = grey.mean((1, 2), keepdim=True)
    saturation, contrast = saturation[:, 0], contrast[:, 0]
    kept = contrast * (1 - saturation) * grey + (1 - contrast) * mean
    result = torch.empty_like(images)
    for channel, out in zip(channels, result.unbind(1), strict=True):
        torch.addcmul(kept, contrast * saturation, channel, out=out)
    return result


def translation(images: Tensor, applied: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Move an image by up to an eighth of its side, in whole pixels; what comes in is zero."""
    reach = images.shape[-1] // 8
    down, right = (
        torch.where(applied, whole(draw, 2 * reach + 1) - reach, 0) for draw in (down, right)
    )
    # The adjoint of a move is the move back. Autograd's gradient of an index would add up
    # numbers one by one: 2000 times slower.
    move = partial(moved, down=down, right=right, reach=reach)
    return Linear.apply(images, move, partial(moved, down=-down, right=-right, reach=reach))


def moved(images: Tensor, down: Tensor, right: Tensor, reach: int) -> Tensor:
    """Move each image by its number of pixels, from -reach to reach, with zeros around."""
    side = images.shape[-1]
    # All windows are there without a copy: [N, C, 2 reach + 1, 2 reach + 1, S, S].
    windows = F.pad(images, (reach,) * 4).unfold(2, side, 1).unfold(3, side, 1)
    n = torch.arange(len(images), device=images.device)
    return windows.transpose(1, 2).transpose(2, 3)[n, reach - down, reach - right]


def cutout(images: Tensor, applied: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Zero a square of half the side, centred anywhere in the image, so that it may stick out."""
    side = images.shape[-1]
    pixels = torch.arange(side, device=images.device)
    rows, columns = (
        (offset >= 0) & (offset < side // 2)
        for offset in (
            pixels + side // 4 - whole(centre, side + 1)[:, None] for centre in (row, column)
        )
    )  # [N, S], whether inside
    hole = rows[:, :, None] & columns[:, None, :] & applied[:, None, None]
    return images * (~hole)[:, None].to(images.dtype)


def whole(draw: Tensor, n: int) -> Tensor:
    """U(0, 1) -> uniform whole numbers from 0 to n - 1; of the middle, 0.5, the middle."""
    return (draw * n).long().clamp(max=n - 1)  # a draw may have been rounded to 1


KINDS = {"colour": colour, "translation": translation, "cutout": cutout}
COLUMNS = {"colour": slice(0, 4), "translation": slice(4, 7), "cutout": slice(7, 10)}
DRAWS = 10  # for every kind the coin that decides whether it is applied, and its parameters


def overfitting(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """How far D tells real from fake: 0 where it cannot, 1 where it ranks all real ones higher.

    That is r_t = E[sign D(x)] of Karras et al. 2020 (ADA), equation 1, with D's zero replaced by
    the median of all logits. A balanced D has its zero there; relativistic and Wasserstein
    objectives leave D's zero to chance. real_logits, fake_logits: [N] -> 0-dim in [-1, 1].
    """
    ordered = torch.cat([real_logits, fake_logits]).sort().values
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return (real_logits - middle).sign().mean()


def strength(augment_p: float | str, images: int) -> float | str:
    """What "auto" stands for with so many training images: "adaptive" or off."""
    if augment_p != "auto":
        return augment_p
    return "adaptive" if images < FEW else 0.0


def adapted(
    probability: Tensor, overfits: Tensor, images: int, ramp_images: int = RAMP_IMAGES
) -> Tensor:
    """The probability for the next step: Karras et al. 2020 (ADA), section 3.1.

    It rises by a fixed amount while `overfits`, of the last step, is above TARGET, and falls below
    it; between 0 and 1 lie `ramp_images` images, at `images` a step. 0-dim tensors -> 0-dim.
    """
    return (probability + (overfits - TARGET).sign() * (images / ramp_images)).clamp(0, MOST)
