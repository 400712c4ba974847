"""Checks of the arguments that the functions of sparse coding share."""

from collections.abc import Sequence
from numbers import Integral, Real

import torch
from torch import Tensor

from dcgan.config.validation import require
from dcgan.errors import UsageError

_MAX_NUMBERS = 2**29  # of feature maps at a time: 2 GB of float32


def check_images(images: Tensor, what: str = "images") -> Tensor:
    """The images [N, C, H, W] as float32, or as float64 if they are. Raises UsageError for tensors
    of other shapes, and for values that are not finite.
    """
    images = torch.as_tensor(images)
    if images.dim() != 4 or not images.numel():
        raise UsageError(f"sparse coding needs {what} [N, C, H, W], not {list(images.shape)}")
    if images.dtype == torch.uint8 or images.is_complex():
        raise UsageError(
            f"sparse coding needs {what} of floating point, not {images.dtype}: see images.to_float"
        )
    images = images if images.dtype == torch.float64 else images.float()
    if not images.isfinite().all():
        raise UsageError(f"sparse coding needs {what} with finite values")
    return images


def check_filters(filters: Tensor, channels: int, size: Sequence[int], padding: int | None) -> None:
    """Raise UsageError unless filters [K, C, h, w] fit images of C channels and (height, width)."""
    filters = torch.as_tensor(filters)
    if filters.dim() != 4 or not filters.numel() or filters.shape[1] != channels:
        raise UsageError(
            f"sparse coding of {channels} channels needs filters [K, {channels}, h, w], "
            f"not {list(filters.shape)}"
        )
    check_filter_size(filters.shape[2:], size)
    check_padding(padding, filters.shape[2:])


def check_padding(padding: int | None, filter_size: Sequence[int]) -> None:
    """Raise UsageError unless the padding is None, or smaller than the filters."""
    if padding is not None:
        largest = min(filter_size) - 1
        valid = isinstance(padding, Integral) and 0 <= padding <= largest
        require(valid, "padding", padding, f"a whole number from 0 to {largest}")


def check_filter_size(filter_size: Sequence[int], size: Sequence[int]) -> None:
    """Raise UsageError for filters (height, width) that are larger than the images."""
    if any(side > limit for side, limit in zip(filter_size, size, strict=True)):
        filters, shape = ("x".join(map(str, sides)) for sides in (filter_size, size))
        raise UsageError(f"filters of {filters} pixels are larger than the images, {shape} pixels")


def check_memory(images: int, maps: int, size: Sequence[int]) -> None:
    """Raise UsageError for more feature maps than fit in memory."""
    numbers = images * maps * size[0] * size[1]
    if numbers > _MAX_NUMBERS:
        raise UsageError(
            f"{images:,} images take {images * maps:,} feature maps of {size[0]}x{size[1]}, "
            f"which do not fit in memory: use fewer or smaller images, or fewer filters"
        )


def check_penalty(p: float) -> None:
    """Raise UsageError unless p is a number above 0 and up to 1."""
    valid = isinstance(p, Real) and not isinstance(p, bool) and 0 < p <= 1
    require(valid, "p", p, "above 0 and at most 1")


def check_positive(name: str, value: float) -> None:
    """Raise UsageError unless the option is a finite number above 0."""
    valid = isinstance(value, Real) and not isinstance(value, bool) and 0 < value < float("inf")
    require(valid, name, value, "a number above 0")


def check_count(name: str, value: int, minimum: int = 1) -> None:
    """Raise UsageError unless the option is a whole number of at least `minimum`."""
    valid = isinstance(value, Integral) and not isinstance(value, bool) and value >= minimum
    require(valid, name, value, f"a whole number of at least {minimum}")
