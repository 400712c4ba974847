"""Feature maps with their channels last."""

from torch import Tensor


def to_nhwc(x: Tensor) -> Tensor:
    """A view of [N, C, H, W] as [N, H, W, C]."""
    return x.permute(0, 2, 3, 1)


def to_nchw(x: Tensor) -> Tensor:
    """A view of [N, H, W, C] as [N, C, H, W]."""
    return x.permute(0, 3, 1, 2)


def to_channels_last(x: Tensor) -> Tensor:
    """x, channels last in memory. vmap does not support `contiguous(memory_format=...)`."""
    return to_nchw(to_nhwc(x).contiguous())
