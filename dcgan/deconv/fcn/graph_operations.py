"""What the operations of a traced network do to positions."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import Node

from dcgan.networks import StridedConv2d
from dcgan.sizes import Conv, Layer, Pool

_ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU),
    *(nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Hardtanh, nn.Hardswish, nn.Threshold),
    *(nn.Hardsigmoid, nn.Softsign, nn.Tanhshrink, nn.LogSigmoid),
)
# Of a single position, or of all channels at one.
_POINTWISE_MODULES = (
    *_ACTIVATIONS,
    *(nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.BatchNorm2d, nn.LocalResponseNorm),
)
_POINTWISE_NAMES = {
    *("relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "elu", "celu", "selu", "gelu", "silu"),
    *("mish", "tanh", "tanh_", "sigmoid", "sigmoid_", "softplus", "hardtanh", "hardswish"),
    *("hardsigmoid", "clamp", "clamp_", "dropout", "dropout2d", "local_response_norm"),
    *("stochastic_depth", "add", "add_", "iadd", "sub", "sub_", "mul", "mul_", "imul", "truediv"),
    *("div", "neg", "contiguous", "float", "to", "clone", "detach", "abs", "square", "exp"),
}
_POOL_ARGUMENTS = ("input", "kernel_size", "stride", "padding")
_MAX_POOL_ARGUMENTS = (*_POOL_ARGUMENTS, "dilation", "ceil_mode", "return_indices")
_AVG_POOL_ARGUMENTS = (*_POOL_ARGUMENTS, "ceil_mode", "count_include_pad", "divisor_override")

Axes = tuple[Layer, Layer]  # along height and width


def is_boundary(node: Node) -> bool:
    """Whether a node must stay, used or not. Dropout need not, although it is random."""
    return node.op in ("placeholder", "output")


def module_of(node: Node, modules: Mapping[str, nn.Module]) -> nn.Module | None:
    """The module that a node calls, if it does."""
    return modules[str(node.target)] if node.op == "call_module" else None


def function_name(node: Node) -> str:
    """Of the function or the method that a node calls; "" for other nodes."""
    if node.op == "call_method":
        return str(node.target)
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""


def bind(names: tuple[str, ...], node: Node) -> dict[str, Any]:
    """The arguments of a call by name."""
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}


def is_pointwise(node: Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether each position of the output depends on the same position of the inputs."""
    module = module_of(node, modules)
    if isinstance(module, nn.Softmax | nn.LogSoftmax):
        return module.dim == 1
    if module is not None:
        return isinstance(module, _POINTWISE_MODULES)
    name = function_name(node)
    if name in ("softmax", "log_softmax"):
        return bind(("input", "dim"), node).get("dim") == 1
    return name in _POINTWISE_NAMES


def is_concatenation(node: Node) -> bool:
    """Whether a node joins the channels of maps."""
    given = bind(("tensors", "dim"), node)
    return node.target in (torch.cat, torch.concat) and given.get("dim") in (1, -3)


def layers_of(node: Node, modules: Mapping[str, nn.Module]) -> Axes | None:
    """A convolution or a pooling along height and width; None for other nodes."""
    module = module_of(node, modules)
    if isinstance(module, StridedConv2d):
        return module.axis, module.axis
    if isinstance(module, nn.Conv2d):
        return _convolution(module.kernel_size, module.stride, module.padding, module.dilation)
    if isinstance(module, nn.MaxPool2d) and not module.return_indices:
        numbers = (module.kernel_size, module.stride, module.padding, module.dilation)
        return _pooling(*numbers, module.ceil_mode)
    if isinstance(module, nn.AvgPool2d):
        return _pooling(module.kernel_size, module.stride, module.padding, 1, module.ceil_mode)
    if node.op != "call_function":
        return None
    if node.target in (F.max_pool2d, torch.max_pool2d):
        given = bind(_MAX_POOL_ARGUMENTS, node)
        return None if given.get("return_indices") else _bound_pooling(given)
    if node.target in (F.avg_pool2d, torch._C._nn.avg_pool2d):
        return _bound_pooling(bind(_AVG_POOL_ARGUMENTS, node))
    return None


def _bound_pooling(given: dict[str, Any]) -> Axes | None:
    kernel = given["kernel_size"]
    stride = given.get("stride") or kernel
    numbers = (kernel, stride, given.get("padding", 0), given.get("dilation", 1))
    return _pooling(*numbers, given.get("ceil_mode", False))


def _pooling(kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: Any) -> Axes | None:
    return _each_axis(partial(Pool, ceil=bool(ceil)), kernel, stride, padding, dilation)


def _convolution(kernel: Any, stride: Any, padding: Any, dilation: Any) -> Axes | None:
    if isinstance(padding, str):
        extents = [Conv(k, dilation=d).extent for k, d in zip(kernel, dilation, strict=True)]
        if padding == "same" and any(extent % 2 == 0 for extent in extents):
            return None  # one more on one side than on the other
        padding = tuple((e - 1) // 2 if padding == "same" else 0 for e in extents)
    return _each_axis(Conv, kernel, stride, padding, dilation)


def _each_axis(layer: Callable[..., Layer], *numbers: Any) -> Axes | None:
    """The layer along height and width; None where a number is computed in the pass."""
    pairs = [
        (value, value) if isinstance(value, int) else tuple(value)
        for value in numbers
        if isinstance(value, int | tuple | list)
    ]
    whole = all(isinstance(number, int) for pair in pairs for number in pair)
    if len(pairs) < len(numbers) or not whole:
        return None
    return layer(*(pair[0] for pair in pairs)), layer(*(pair[-1] for pair in pairs))
