"""Differentiable augmentation of the images that D sees.

D sees real and fake images altered in the same ways, so that it cannot memorise a small dataset,
and G's gradient flows back through the alterations: Zhao et al. 2020 (DiffAugment). Every kind is a
pure function of images and of noise from U(0, 1), which the caller samples, and does not wait for
the device. Every kind is linear in the images, up to a constant.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.networks import LinearOperator


def augment(
    images: Tensor, noise: Tensor, probability: Tensor | float, kinds: tuple[str, ...]
) -> Tensor:
    """Alter each image by each of `kinds` in turn, each with the given probability.

    images: [N, C, S, S] in [-1, 1]; noise: [N, NOISE_DIM] from U(0, 1), where every kind has its
    own columns; probability: 0-dim or a number from 0 to 1; kinds: "colour", "translation",
    "cutout" -> [N, C, S, S] of the same dtype. Colours may leave [-1, 1]: a clamp would cut off G's
    gradient.
    """
    for kind in kinds:
        coin, *parameters = noise[:, _NOISE_COLUMNS[kind]].unbind(1)
        images = _KINDS[kind](images, coin < probability, *parameters)
    return images


def _colour(
    images: Tensor, applied: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor
) -> Tensor:
    """Add U(-0.5, 0.5) to an image, then scale the distances of its pixels from grey by U(0, 2),
    and from the image's mean by U(0.5, 1.5).
    """
    values = ((brightness - 0.5, 0.0), (2 * saturation, 1.0), (contrast + 0.5, 1.0))
    b, s, c = (
        torch.where(applied, value, neutral).to(images.dtype)[:, None, None, None]
        for value, neutral in values
    )
    # Both scalings leave a constant unchanged, so that brightness may be added last. Both are
    # symmetric, so that they are their own adjoints.
    scale = partial(_scale_colours, saturation=s, contrast=c)
    return LinearOperator.apply(images, scale, scale) + b


def _scale_colours(images: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Scale distances from grey by `saturation`, and from the mean by `contrast`: [N, 1, 1, 1]."""
    # Channel by channel, since an innermost dimension of three is too short for torch's loops.
    channels = images.unbind(1)
    grey = sum(channels[1:], channels[0]) / len(channels)  # [N, S, S]
    mean = grey.mean((1, 2), keepdim=True)
    saturation, contrast = saturation[:, 0], contrast[:, 0]
    offset = contrast * (1 - saturation) * grey + (1 - contrast) * mean
    result = torch.empty_like(images)
    for channel, out in zip(channels, result.unbind(1), strict=True):
        torch.addcmul(offset, contrast * saturation, channel, out=out)
    return result


def _translation(images: Tensor, applied: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shift an image by whole pixels, up to an eighth of its side, and fill with zeros."""
    reach = images.shape[-1] // 8
    down, right = (
        torch.where(applied, _uniform_integers(u, 2 * reach + 1) - reach, 0) for u in (down, right)
    )
    # The adjoint of a shift is the shift back. Autograd's gradient of an index would add up
    # numbers one by one: 2000 times slower.
    shift = partial(_shift, down=down, right=right, reach=reach)
    return LinearOperator.apply(
        images, shift, partial(_shift, down=-down, right=-right, reach=reach)
    )


def _shift(images: Tensor, down: Tensor, right: Tensor, reach: int) -> Tensor:
    """Shift each image by its numbers of pixels, [N] from -reach to reach, and fill with zeros."""
    side = images.shape[-1]
    # All windows as a view: [N, C, 2 reach + 1, 2 reach + 1, S, S].
    windows = F.pad(images, (reach,) * 4).unfold(2, side, 1).unfold(3, side, 1)
    n = torch.arange(len(images), device=images.device)
    return windows.transpose(1, 2).transpose(2, 3)[n, reach - down, reach - right]


def _cutout(images: Tensor, applied: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Zero a square of half the side, centred anywhere in the image, which may cross its edge."""
    side = images.shape[-1]
    pixels = torch.arange(side, device=images.device)
    rows, columns = (
        (offset >= 0) & (offset < side // 2)
        for offset in (
            pixels + side // 4 - _uniform_integers(centre, side + 1)[:, None]
            for centre in (row, column)
        )
    )  # [N, S], whether inside
    hole = rows[:, :, None] & columns[:, None, :] & applied[:, None, None]
    return images * (~hole)[:, None].to(images.dtype)


def _uniform_integers(u: Tensor, n: int) -> Tensor:
    """U(0, 1) -> uniform integers from 0 to n - 1. For odd n, 0.5 gives the middle one."""
    return (u * n).long().clamp(max=n - 1)  # u may have been rounded to 1


_KINDS: dict[str, Callable[..., Tensor]] = {
    "colour": _colour,
    "translation": _translation,
    "cutout": _cutout,
}
# Of every kind: first the coin that decides whether it is applied, then its parameters.
_NOISE_COLUMNS = {"colour": slice(0, 4), "translation": slice(4, 7), "cutout": slice(7, 10)}
NOISE_DIM = 10
