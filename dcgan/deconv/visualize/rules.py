"""Backward rules of deconvnets and of guided backpropagation, for networks of any structure.

A unit is projected to the image by sending a signal back through the network. Convolutions, batch
norm in evaluation mode and average pooling are linear and send it back by their transpose, without
biases. Max pooling sends it to where each maximum was: to the unpooling switches of Zeiler and
Fergus 2013 (arXiv:1311.2901, section 2.1); where windows overlap, signals that meet add up. For
these, the rules are the gradient. They differ in what a rectifier y = max(x, 0) makes of a signal
R:

    gradient    (x > 0) R
    deconvnet   max(R, 0)              Zeiler and Fergus 2013
    guided      (x > 0) max(R, 0)      Springenberg et al. 2014 (arXiv:1412.6806), figure 1

The papers have no rule for f(x) = max(x, 0) + a min(x, 0), the leaky ReLU of slope a. Here it is

    deconvnet   f(R)
    guided      f'(x) f(R)

A deconvnet sends the signal through the layer's own rectifier, which f is, and guided
backpropagation multiplies by the derivative too. For a = 0 these are the rules of the papers, and
for a = 1, where the layer is linear, they are the gradient, which is right there: between the two
nothing jumps. (The gradient alone, which other software takes, does not become the papers' rules as
a goes to 0; cutting negative signals off is wrong for a = 1.)
"""

import re
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dcgan.deconv.visualize.rectifiers import Rectification, find_rectification
from dcgan.errors import UserError

Method = Literal["deconvnet", "guided", "gradient"]

# Operations whose derivative is not constant where it is not zero, or that choose between values.
_WITHOUT_RULE = re.compile(
    r"(Relu|Prelu|Elu|Celu|Gelu|Silu|Mish|Glu|Hard\w+|\w+shrink|Soft\w+|Log\w*|Sigmoid|Tanh|Clamp\w*"
    r"|Threshold|Maximum|Minimum|Fmax|Fmin|Where|Abs|Sign|Exp|MaskedFill|LeakyRelu|RreluWithNoise)"
    r"Backward\d*"
)


class BackwardRules(TorchFunctionMode):
    """In the block, rectifiers send signals back by the rule of a method.

    It meets modules and functions alike: ReLU, leaky, parametric and (in evaluation) randomised
    ReLU, ReLU6 and others that are cut at a maximum, thresholds at 0 and `clamp(min=0)`, in place
    or not. See `check_rules` for what it does not meet.
    """

    def __init__(self, method: Method):
        super().__init__()
        self.method = method

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        found = None if self.method == "gradient" else find_rectification(func, args, kwargs)
        if found is None:
            return func(*args, **kwargs)
        result = _Rectifier.apply(found.x, found, self.method == "guided")
        # Whoever rectifies in place may use x afterwards, not the result.
        return found.x.copy_(result) if found.in_place else result


def check_rules(maps: Tensor, name: str, method: Method) -> None:
    """Raise UserError if there is an operation before these maps that the method has no rule for.

    maps: computed under `BackwardRules`; their graph is searched. A gradient takes any operation.
    """
    if method == "gradient":
        return
    seen, nodes = set(), [maps.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if problem := _problem(node):
            raise UserError(
                f"layer {name}: {problem} before it, for which {method} has no rule: "
                f"use --method gradient"
            )
        nodes += [following for following, _ in node.next_functions]


def _problem(node: Any) -> str | None:
    """What of a node of the graph has no rule, in words; None if it has one."""
    kind = node.name().rsplit("::", 1)[-1]
    function = getattr(type(node), "_forward_cls", None)  # of an operation written in Python
    if function is not None and function.__module__.split(".")[0] != "dcgan":
        return f"the network has the operation {function.__name__} of its own"
    if kind.startswith(("CompiledFunction", "DifferentiableGraph")):
        return "the network has a compiled part"
    if kind.startswith("MulBackward") and any(map(_is_mask, (node._saved_self, node._saved_other))):
        return "the network multiplies by a mask"
    if _WITHOUT_RULE.fullmatch(kind):
        return f"the network has the operation {re.sub('Backward[0-9]*$', '', kind)}"
    return None


def _is_mask(factor: Tensor | None) -> bool:
    """Whether a factor switches values on and off, as that of x * (x > 0) does."""
    if not isinstance(factor, Tensor) or factor.requires_grad or factor.numel() == 1:
        return False
    if factor.dtype == torch.bool:
        return True
    off, on = factor == 0, factor == 1
    return bool((off | on).all() and off.any() and on.any())


class _Rectifier(torch.autograd.Function):
    """A rectifier that sends signals back by the rule of deconvnet or guided."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, how: Rectification, guided: bool) -> Tensor:
        slope, maximum = how.slope, how.maximum
        is_relu = not isinstance(slope, Tensor) and slope == 0
        result = torch.relu(x) if is_relu else torch.where(x > 0, x, slope * x)
        ctx.slope, ctx.derivative = slope, None
        if guided:
            ctx.derivative = torch.where(x > 0, torch.ones_like(x), slope)
        if maximum is None:
            return result
        if guided:
            ctx.derivative *= x < maximum
        return result.clamp_(max=maximum)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor, None, None]:
        (signal,) = signals
        passed = torch.where(signal > 0, signal, ctx.slope * signal)
        return (passed if ctx.derivative is None else passed * ctx.derivative), None, None
