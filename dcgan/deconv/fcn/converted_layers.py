"""Layers of fully convolutional networks that compute what those of classifiers do."""

from itertools import pairwise

import torch
from torch import nn
from torch.fx import Node

from dcgan.deconv.fcn.graph_operations import bind, function_name
from dcgan.errors import UserError


def unconvertible(
    node: Node, module: nn.Module | None, reason: str = "has no fully convolutional form"
) -> UserError:
    """The error to raise for a layer that cannot be converted."""
    name = node.name if module is None else f"{node.target} ({type(module).__name__})"
    return UserError(f"layer {name} {reason}")


def fixed_pooling(
    node: Node, module: nn.Module | None, before: tuple[int, ...], after: tuple[int, ...]
) -> nn.Module | None:
    """The pooling with windows of one size that a pooling to given sides is; None for other layers.

    before: [C, h, w] of its maps, after: the shape of its output. Raises UserError where its
    windows have several sizes.
    """
    kind: type[nn.AvgPool2d | nn.MaxPool2d]
    name = function_name(node)
    if isinstance(module, nn.AdaptiveAvgPool2d) or name == "adaptive_avg_pool2d":
        kind = nn.AvgPool2d
    elif isinstance(module, nn.AdaptiveMaxPool2d) or name == "adaptive_max_pool2d":
        kind = nn.MaxPool2d
    elif name in ("mean", "amax") and _reduces_positions(node):
        kind = nn.AvgPool2d if name == "mean" else nn.MaxPool2d
    else:
        return None
    sides = after[2:] or (1, 1)
    height, width = (_uniform_window(*pair) for pair in zip(before[1:], sides, strict=True))
    if height is None or width is None:
        raise unconvertible(node, module, "pools windows of several sizes")
    return kind((height[0], width[0]), stride=(height[1], width[1]))


def dense_as_convolution(dense: nn.Linear, height: int, width: int) -> nn.Conv2d:
    """A dense layer of flattened maps as a convolution of their size, with the same weights."""
    outputs, channels = dense.out_features, dense.in_features // (height * width)
    with torch.device("meta"):
        convolution = nn.Conv2d(channels, outputs, (height, width), bias=dense.bias is not None)
    weight = dense.weight.detach().view(outputs, channels, height, width)
    convolution.weight = nn.Parameter(weight, dense.weight.requires_grad)
    convolution.bias = dense.bias
    return convolution


def batch_norm_of_maps(norm: nn.BatchNorm1d) -> nn.BatchNorm2d:
    """Batch norm of vectors as that of maps, with the same tensors."""
    with torch.device("meta"):
        maps_norm = nn.BatchNorm2d(
            norm.num_features,
            norm.eps,
            affine=norm.affine,
            track_running_stats=norm.track_running_stats,
        )
    maps_norm.weight, maps_norm.bias = norm.weight, norm.bias
    for name, buffer in norm.named_buffers():
        setattr(maps_norm, name, buffer)
    return maps_norm


def channel_softmax(node: Node, module: nn.Module | None) -> nn.Module | None:
    """The softmax over channels that one over the values of vectors is."""
    if isinstance(module, nn.Softmax | nn.LogSoftmax):
        return type(module)(dim=1) if module.dim in (1, -1) else None
    kinds = {"softmax": nn.Softmax, "log_softmax": nn.LogSoftmax}
    kind = kinds.get(function_name(node))
    return kind(dim=1) if kind and bind(("input", "dim"), node).get("dim") in (1, -1) else None


def _reduces_positions(node: Node) -> bool:
    """Whether a mean or a maximum is over height and width."""
    dims = bind(("input", "dim"), node).get("dim")
    return isinstance(dims, list | tuple) and sorted(dim % 4 for dim in dims) == [2, 3]


def _uniform_window(before: int, after: int) -> tuple[int, int] | None:
    """Kernel and stride of the pooling that PyTorch's from `before` to `after` positions is, if it
    is one.
    """
    if after == 1:
        return before, 1
    starts = [i * before // after for i in range(after)]
    stops = [-(-(i + 1) * before // after) for i in range(after)]
    kernels = {stop - start for start, stop in zip(starts, stops, strict=True)}
    strides = {b - a for a, b in pairwise(starts)}
    if len(kernels) > 1 or len(strides) > 1 or strides == {0}:
        return None
    return kernels.pop(), strides.pop()
