"""Calls of PyTorch's functions and methods that rectify: which input, and with which slope."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_CAP_OF_RELU6 = 6.0


@dataclass(frozen=True)
class Rectification:
    """max(x, 0) + slope min(x, 0), and not more than `maximum`, if there is one.

    `slope` is a number, or a tensor that broadcasts to x. `in_place`: the call changes x.
    """

    x: Tensor
    slope: float | Tensor = 0.0
    maximum: float | None = None
    in_place: bool = False


def find_rectification(func: Callable, args: tuple, kwargs: dict) -> Rectification | None:
    """What a call of `func` rectifies, as a function mode sees it; None for other calls.

    ReLU, ReLU6, hard tanh from 0, leaky, parametric and (in evaluation mode) randomised ReLU,
    thresholds at 0, and clamping at 0.
    """
    try:
        names, read = _FUNCTIONS[func]
    except (KeyError, TypeError):  # TypeError: what cannot be hashed
        return None
    given = {**kwargs, **dict(zip(names, args, strict=False))}
    x = given.pop("input", given.pop("self", None))
    if not isinstance(x, Tensor) or not x.is_floating_point():
        return None
    in_place = func.__name__.endswith("_") or bool(given.pop("inplace", False))
    return read(x, in_place, **given)


def _relu(x: Tensor, in_place: bool) -> Rectification:
    return Rectification(x, in_place=in_place)


def _relu6(x: Tensor, in_place: bool) -> Rectification:
    return Rectification(x, 0.0, _CAP_OF_RELU6, in_place)


def _leaky(x: Tensor, in_place: bool, negative_slope: float = 0.01) -> Rectification:
    return Rectification(x, negative_slope, None, in_place)


def _parametric(x: Tensor, in_place: bool, weight: Tensor) -> Rectification:
    by_channel = weight.detach().reshape(-1, *[1] * max(x.dim() - 2, 0))
    return Rectification(x, by_channel, None, in_place)


def _randomised(
    x: Tensor, in_place: bool, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False
) -> Rectification | None:
    return None if training else Rectification(x, (lower + upper) / 2, None, in_place)


def _threshold(x: Tensor, in_place: bool, threshold: float, value: float) -> Rectification | None:
    return Rectification(x, in_place=in_place) if threshold == 0 and value == 0 else None


def _hard_tanh(
    x: Tensor, in_place: bool, min_val: float = -1.0, max_val: float = 1.0
) -> Rectification | None:
    return _clamp(x, in_place, min_val, max_val)


def _clamp(
    x: Tensor, in_place: bool, min: Any = None, max: Any = None, out: Tensor | None = None
) -> Rectification | None:
    numbers = all(isinstance(bound, int | float | None) for bound in (min, max))
    if not numbers or min != 0 or (max is not None and max <= 0) or out is not None:
        return None
    return Rectification(x, 0.0, max, in_place)


_Reader = Callable[..., Rectification | None]
_T = torch.Tensor
_FUNCTIONS: dict[Callable, tuple[tuple[str, ...], _Reader]] = {
    function: (("input", *names), read)
    for names, read, functions in (
        (("inplace",), _relu, (F.relu, torch.relu, torch.relu_, _T.relu, _T.relu_)),
        ((), _relu, (torch.ops.aten.relu, torch.ops.aten.relu.default)),
        (("inplace",), _relu6, (F.relu6,)),
        (("negative_slope", "inplace"), _leaky, (F.leaky_relu, F.leaky_relu_)),
        (("weight",), _parametric, (F.prelu, torch.prelu, _T.prelu)),
        (("lower", "upper", "training", "inplace"), _randomised, (F.rrelu, F.rrelu_)),
        (("threshold", "value", "inplace"), _threshold, (F.threshold, torch.threshold_)),
        (("min_val", "max_val", "inplace"), _hard_tanh, (F.hardtanh, F.hardtanh_)),
        (("min", "max"), _clamp, (torch.clamp, torch.clamp_, _T.clamp, _T.clamp_)),
        (("min", "max"), _clamp, (torch.clip, torch.clip_, _T.clip, _T.clip_)),
        (("min",), _clamp, (torch.clamp_min, torch.clamp_min_, _T.clamp_min, _T.clamp_min_)),
    )
    for function in functions
}
