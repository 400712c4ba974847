"""Which pixels reach a unit, in networks of any structure."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dcgan.deconv.visualize.layers import Layer
from dcgan.deconv.visualize.rectifiers import find_rectification
from dcgan.deconv.visualize.tracing import differentiating, probe_inputs
from dcgan.errors import UsageError
from dcgan.networks.strided_convolution import torch_convolutions


class Reach:
    """The pixels with a path to the units of a layer.

    A derivative can be 0 by chance where there is a path: at a closed ReLU, beside a maximum. So
    it is taken of a network of the same structure without chance: all weights of a convolution are
    one positive number, rectifiers and normalisations do nothing, and maxima send signals to their
    whole windows.
    """

    def __init__(self, layer: Layer):
        self.title = layer.title
        with differentiating(layer.network), torch_convolutions(), _Positive():
            self._x = torch.ones_like(probe_inputs(layer.network, layer.input_shape)[:1])
            self._x.requires_grad_()
            self._maps = layer.compute(self._x.clone()).sum(1)[0]  # [h, w]

    def bounds(self, row: int, column: int) -> list[tuple[int, int]]:
        """The first row, and the row after the last, and so the columns: of the pixels that reach
        the unit at this position.
        """
        unit, gradient = self._maps[row, column], None
        if unit.requires_grad:
            (gradient,) = torch.autograd.grad(unit, self._x, retain_graph=True, allow_unused=True)
        if gradient is None or not bool((gradient != 0).any()):
            raise UsageError(f"layer {self.title} does not depend on the image by a derivative")
        reached = (gradient[0] != 0).any(0)  # [H, W]
        spans = (torch.nonzero(reached.any(other))[:, 0] for other in (1, 0))
        return [(int(span[0]), int(span[-1]) + 1) for span in spans]


class _Positive(TorchFunctionMode):
    """In the block, weights are positive, nothing is rectified, and maxima are sums backwards."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        found = find_rectification(func, args, kwargs)
        if found is not None:
            return found.x
        if func in _WEIGHTED:
            given = _bind(("input", "weight", "bias"), args, kwargs)
            weight = given["weight"]
            # Between the mean and the sum over a kernel, so that deep networks stay within floats.
            given["weight"] = torch.full_like(weight, (len(weight) * weight[0].numel()) ** -0.5)
            given["bias"] = None
            x, weight, bias = (given.pop(name) for name in ("input", "weight", "bias"))
            return func(x, weight, bias, *args[3:], **given)
        if func in _NORMALISATIONS:
            return args[0]
        if func in _MAX_POOLS:
            given = _bind(_POOL_ARGUMENTS, args, kwargs)
            if not given.pop("return_indices", False):
                return _SpreadingPool.apply(given.pop("input"), given)
        if func is F.adaptive_max_pool2d:
            return F.adaptive_avg_pool2d(args[0], args[1])
        return func(*args, **kwargs)


class _SpreadingPool(torch.autograd.Function):
    """Max pooling that sends every signal to all of its window."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, options: dict[str, Any]) -> Tensor:
        ctx.sides, ctx.options = x.shape[2:], options
        return F.max_pool2d(x, **options)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor, None]:
        (signal,), options = signals, ctx.options
        kernel = _pair(options["kernel_size"])
        stride = options.get("stride") or kernel
        (height, width), (top, left) = ctx.sides, _pair(options.get("padding", 0))
        window = signal.new_ones(signal.shape[1], 1, *kernel)
        spread = F.conv_transpose2d(
            *(signal, window, None, stride, 0, 0, len(window), options.get("dilation", 1))
        )
        missing = (max(0, left + width - spread.shape[3]), max(0, top + height - spread.shape[2]))
        spread = F.pad(spread, (0, missing[0], 0, missing[1]))
        return spread[:, :, top : top + height, left : left + width], None


def _bind(names: tuple[str, ...], args: tuple, kwargs: dict) -> dict[str, Any]:
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


_WEIGHTED = {F.conv2d, torch.conv2d, F.conv_transpose2d, torch.conv_transpose2d, F.linear}
_NORMALISATIONS = {F.batch_norm, F.group_norm, F.instance_norm, F.layer_norm, torch.batch_norm}
_MAX_POOLS = {F.max_pool2d, torch.max_pool2d}
_POOL_ARGUMENTS = (
    *("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
)
