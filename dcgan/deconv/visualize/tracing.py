"""One pass of a network: which modules are computed, in which order, with which shapes."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules import activation
from torch.nn.modules.batchnorm import _BatchNorm

from dcgan.errors import UserError
from dcgan.networks import evaluating

_PROBES = 2  # inputs of the pass: the first dimension of maps must be theirs
_FOLLOWERS = (
    *(_BatchNorm, nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Hardtanh, nn.Threshold),
    *(nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid, nn.Softplus),
    *(activation.Hardswish, activation.Hardsigmoid, nn.Identity, nn.Dropout, nn.Dropout2d),
)


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a module in a pass: the `number`-th of that module, from 0.

    `shape` of its maps: [C, h, w]. `convolution` is N where this is the output of the N-th
    convolution, with the batch norm and the activation that follow directly.
    """

    name: str
    module: nn.Module
    number: int
    shape: tuple[int, int, int]
    convolution: int | None = None


def trace(
    network: nn.Module, input_shape: tuple[int, ...], forward: Callable[[Tensor], object]
) -> list[Call]:
    """The calls of modules whose outputs are maps, in the order in which they end.

    Raises UserError where the network cannot take inputs of this shape, and for compiled ones.
    """
    _check_not_compiled(network)
    calls: list[Call] = []
    ends: dict[int, int] = {}  # of convolutions: number in the pass, and their last call so far
    last: tuple[Tensor, int, int] | None = None  # output of a convolution, its version, its number
    counts: Counter[nn.Module] = Counter()
    names = {module: name for name, module in network.named_modules() if _is_layer(name, module)}
    convolutions = {module for module in names if is_convolution(module)}

    def note(module: nn.Module, inputs: tuple, output: object) -> None:
        nonlocal last
        number = counts[module]
        counts[module] += 1
        maps = _maps_or_none(output)
        if maps is None or len(maps) != _PROBES:
            return
        assert isinstance(output, Tensor)
        channels, height, width = maps.shape[1:]
        calls.append(Call(names[module], module, number, (channels, height, width)))
        if module in convolutions:
            ends[len(ends) + 1] = len(calls) - 1
            last = output, output._version, len(ends)
        elif isinstance(module, _FOLLOWERS) and last is not None and inputs:
            ends[last[2]] = len(calls) - 1
            last = output, output._version, last[2]

    def compare(module: nn.Module, inputs: tuple) -> None:
        """Forget the last convolution where something else is computed of it first."""
        nonlocal last
        if isinstance(module, _FOLLOWERS) and last is not None:
            x = inputs[0] if inputs else None
            if x is not last[0] or x._version != last[1]:
                last = None

    handles = [module.register_forward_hook(note) for module in names]
    handles += [module.register_forward_pre_hook(compare) for module in names]
    try:
        with evaluating(network), torch.no_grad():
            forward(probe_inputs(network, input_shape))
    except (Exception, SystemExit) as error:  # a user's code can raise anything
        raise input_error(input_shape, error) from error
    finally:
        for handle in handles:
            handle.remove()
    for convolution, end in ends.items():
        calls[end] = replace(calls[end], convolution=convolution)
    return calls


def _is_layer(name: str, module: nn.Module) -> bool:
    """Whether a module can be one: not scripted, which takes no hooks, nor of a parametrization."""
    parametrizes = "parametrizations" in name.split(".")
    return not parametrizes and not isinstance(module, torch.jit.ScriptModule)


def _check_not_compiled(network: nn.Module) -> None:
    """Raise UserError for a network whose modules cannot be watched."""
    optimized = any(hasattr(module, "_orig_mod") for module in network.modules())
    if optimized or isinstance(network, torch.jit.ScriptModule):
        compiler = "torch.compile" if optimized else "TorchScript"
        raise UserError(f"the network is compiled by {compiler}: give it as it was before")


def is_convolution(module: nn.Module) -> bool:
    """Whether a module has kernels of two dimensions: a convolution, or a transposed one."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.dim() == 4


def probe_inputs(network: nn.Module, input_shape: tuple[int, ...]) -> Tensor:
    """Noise as the network takes it: [2, *input_shape] in [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(_PROBES, *input_shape, generator=generator) * 2 - 1
    return to_network(noise, network)


def to_network(x: Tensor, network: nn.Module) -> Tensor:
    """x on the device and in the data type of a network's parameters."""
    like = next((p for p in network.parameters() if p.is_floating_point()), None)
    return x if like is None else x.to(like)


def input_error(input_shape: tuple[int, ...], error: BaseException) -> UserError:
    """The error to raise where a network fails on inputs of a shape."""
    return UserError(
        f"the network cannot take inputs of the shape {format_shape(input_shape)}: "
        f"{type(error).__name__}: {error}"
    )


def format_shape(shape: tuple[int, ...] | torch.Size) -> str:
    """A shape in words: 4x8x8."""
    return "x".join(map(str, shape))


def output_maps(output: object) -> Tensor:
    """The output of a module as maps [N, C, h, w]: [N, C] and [N] get positions of 1x1."""
    maps = _maps_or_none(output)
    assert maps is not None
    return maps


def _maps_or_none(output: object) -> Tensor | None:
    if not isinstance(output, Tensor) or not output.is_floating_point():
        return None
    if output.dim() in (1, 2):
        return output.reshape(len(output), -1, 1, 1)
    return output if output.dim() == 4 and output.numel() else None


@contextmanager
def differentiating(network: nn.Module) -> Iterator[None]:
    """In the block, which may be in another without gradients, those of inputs are computed."""
    with evaluating(network), torch.inference_mode(False), torch.enable_grad():
        yield
