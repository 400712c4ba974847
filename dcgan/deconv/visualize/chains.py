"""Networks as chains of `dcgan.sizes`, read from the graph that PyTorch records."""

import re
from typing import Any

from torch import Tensor

from dcgan.sizes import Conv, ConvTranspose, Pool
from dcgan.sizes import Layer as Axis

# Nodes that keep positions where they are.
_POINTWISE = re.compile(
    r"(Clone|NativeBatchNorm|CudnnBatchNorm|MiopenBatchNorm|Relu|LeakyRelu|Elu|Celu|Gelu|Silu|Mish"
    r"|PreluKernel|RreluWithNoise|Hardtanh|Hardswish|Hardsigmoid|Softplus|Threshold|Sigmoid|Tanh"
    r"|Clamp|ClampMin|ToCopy)Backward\d*"
)


def chain_of(maps: Tensor) -> tuple[list[Axis], list[Axis]] | None:
    """The convolutions and poolings from the image to these maps, along height and along width.

    None where the network is no chain of those and of operations at single positions. maps: with
    the graph that leads to the only leaf that requires a gradient.
    """
    node: Any = maps.grad_fn
    axes: tuple[list[Axis], list[Axis]] = ([], [])
    while node is not None:
        following = [other for other, _ in node.next_functions if other is not None]
        kind = node.name().rsplit("::", 1)[-1]
        if kind.startswith("AccumulateGrad"):
            return axes[0][::-1], axes[1][::-1]
        if len(following) != 1:
            return None
        layers = _axes_of(kind, node)
        if layers is not None:
            for axis, layer in zip(axes, layers, strict=True):
                axis.append(layer)
        elif not _POINTWISE.fullmatch(kind):
            return None
        node = following[0]
    return None


def _axes_of(kind: str, node: Any) -> list[Axis] | None:
    """A convolution or pooling along height and width; None for other nodes."""
    if kind.startswith("ConvolutionBackward"):
        kernels = node._saved_weight.shape[2:]
        numbers = [kernels, *(node._saved_stride, node._saved_padding, node._saved_dilation)]
        if len(kernels) != 2:
            return None
        if node._saved_transposed:
            columns = zip(*numbers, node._saved_output_padding, strict=True)
            return [ConvTranspose(*map(int, column)) for column in columns]
        return [Conv(*map(int, column)) for column in zip(*numbers, strict=True)]
    if kind.startswith(("MaxPool2DWithIndicesBackward", "AvgPool2DBackward")):
        kernel = _pair(node._saved_kernel_size)
        stride = _pair(node._saved_stride or node._saved_kernel_size)
        padding = _pair(node._saved_padding)
        dilation = _pair(getattr(node, "_saved_dilation", (1, 1)))
        return [
            Pool(kernel[i], stride[i], padding[i], dilation[i], bool(node._saved_ceil_mode))
            for i in (0, 1)
        ]
    return None


def _pair(numbers: tuple[int, ...]) -> tuple[int, int]:
    return (int(numbers[0]), int(numbers[-1]))
