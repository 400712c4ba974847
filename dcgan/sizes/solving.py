"""Inverse questions: which layers take one size to another."""

from collections.abc import Iterable, Iterator

from dcgan.errors import UsageError
from dcgan.sizes.layers import Conv, ConvTranspose

_KERNELS = range(1, 8)
_STRIDES = range(1, 5)


def convolutions(
    size: int,
    output: int,
    kernels: Iterable[int] = _KERNELS,
    strides: Iterable[int] = _STRIDES,
    dilations: Iterable[int] = (1,),
) -> Iterator[Conv]:
    """All convolutions from `size` to `output` positions, whose padding is less than their
    extent.
    """
    for kernel in kernels:
        for dilation in dilations:
            for stride in strides:
                for padding in range(Conv(kernel, dilation=dilation).extent):
                    layer = Conv(kernel, stride, padding, dilation)
                    if _size_or_none(layer, size) == output:
                        yield layer


def transposed_convolutions(
    size: int,
    output: int,
    kernels: Iterable[int] = _KERNELS,
    strides: Iterable[int] = _STRIDES,
    dilations: Iterable[int] = (1,),
) -> Iterator[ConvTranspose]:
    """All transposed convolutions from `size` to `output` positions, whose padding is less than
    their extent.
    """
    for forward in convolutions(output, size, kernels, strides, dilations):
        yield forward.transpose(output)


def _size_or_none(layer: Conv, size: int) -> int | None:
    try:
        return layer.output_size(size)
    except UsageError:
        return None
