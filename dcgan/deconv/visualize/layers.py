"""The layers of a network: found by name or number, and computed without what follows them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dcgan.deconv.visualize.tracing import (
    Call,
    format_shape,
    input_error,
    output_maps,
    trace,
)
from dcgan.errors import UsageError
from dcgan.networks import evaluating
from dcgan.runtime.device import full_float32_precision

OUTPUT = "output"  # the name of what the whole network returns
_MAX_LISTED = 100


class _Reached(BaseException):
    """Ends a pass at a layer. No handler of a network's own catches it."""

    def __init__(self, output: object):
        super().__init__()
        self.output = output


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of a network, whose units are the channels of its maps.

    `title` names it in texts. `shape` is that of its maps, [C, h, w], for inputs of `input_shape`,
    [C', H, W]. A layer without positions, such as the scores of classes, has maps of 1x1.
    `module` is the one whose output it is, at its call number `call`, from 0, in a pass.
    """

    network: nn.Module
    forward: Callable[[Tensor], object]
    title: str
    module: nn.Module
    call: int
    shape: tuple[int, int, int]
    input_shape: tuple[int, ...]

    def maps(self, x: Tensor) -> Tensor:
        """The maps [N, C, h, w] of inputs [N, C', H, W], without a graph, in evaluation mode."""
        with evaluating(self.network), torch.no_grad():
            return self.compute(x)

    def compute(self, x: Tensor) -> Tensor:
        """The maps as a function of x, for the caller to differentiate.

        Raises UsageError for inputs of another shape, UserError where the network fails.
        """
        if x.dim() != len(self.input_shape) + 1 or x.shape[1:] != self.input_shape:
            raise UsageError(
                f"layer {self.title} was opened for inputs of {format_shape(self.input_shape)}, "
                f"not {format_shape(x.shape[1:])}"
            )
        with _ended_at(self.module, self.call), full_float32_precision():
            try:
                self.forward(x)
            except _Reached as reached:
                return output_maps(reached.output)
            except Exception as error:  # a user's code can raise anything
                raise input_error(tuple(x.shape), error) from error
        raise UsageError(f"layer {self.title} is not reached by these inputs")

    def check_units(self, units: Iterator[int] | list[int]) -> None:
        """Raise UsageError for channels that the layer does not have."""
        for unit in units:
            if not 0 <= unit < self.shape[0]:
                raise UsageError(
                    f"unit {unit}: layer {self.title} has the units 0 to {self.shape[0] - 1}"
                )


def open_layer(
    network: nn.Module,
    layer: str | int | None,
    input_shape: tuple[int, ...],
    forward: Callable[[Tensor], object] | None = None,
) -> Layer:
    """A layer of a network for inputs of one shape, [C, H, W], or [D] of latents.

    layer: the name of a module, as in `named_modules`; NAME@2 is its second call where one pass
    calls it several times; "output" is what the network returns. A number N is the N-th convolution
    (or transposed one) in the order of computation, with the batch norm and the rectifier that
    follow directly; written as text it may be a module's name, which then counts. None: the last
    convolution whose maps are larger than 1x1, if there is one. `forward` calls the network, where
    it takes more than x.

    Raises UsageError for a layer that is not there, with those that are, and UserError where the
    network cannot take such inputs.
    """
    forward = forward or network
    calls = trace(network, input_shape, forward)
    name, _, number = str(layer).rpartition("@") if "@" in str(layer)[1:] else (str(layer), "", "")
    found = [call for call in calls if call.name == name and not isinstance(layer, int)]
    if layer == OUTPUT and not found:
        found = [call for call in calls if not call.name]
    convolutions = sorted(
        (call for call in calls if call.convolution), key=lambda call: call.convolution or 0
    )
    if not found and (layer is None or str(layer).isdecimal()):
        index = _last_with_positions(convolutions) if layer is None else int(layer) - 1
        found = convolutions[index : index + 1] if index >= 0 else []
    elif number or len(found) > 1:
        if not number:
            choices = " or ".join(f"{name}@{i + 1}" for i in range(len(found)))
            raise UsageError(f"layer {name} is computed {len(found)} times: write {choices}")
        place = int(number) - 1 if number.isdecimal() else -1
        found = found[place : place + 1] if place >= 0 else []
    if not found:
        missing = "no convolution" if layer is None else f"no layer {layer}"
        raise UsageError(f"there is {missing}: choose one of {_listed(calls)}")
    (call,) = found
    title = _title(call, calls)
    return Layer(network, forward, title, call.module, call.number, call.shape, input_shape)


def _title(call: Call, calls: list[Call]) -> str:
    """The name of a layer, with the number of the call where there are several."""
    repeated = sum(other.name == call.name for other in calls) > 1
    return f"{call.name}@{call.number + 1}" if repeated else call.name or OUTPUT


def _last_with_positions(convolutions: list[Call]) -> int:
    """The index of the last convolution whose maps are larger than 1x1, or else of the last."""
    larger = [i for i, call in enumerate(convolutions) if call.shape[1:] != (1, 1)]
    return larger[-1] if larger else len(convolutions) - 1


def _listed(calls: list[Call]) -> str:
    """The layers there are: names, after their numbers those that have one, and shapes."""
    listed = []
    for call in calls:
        number = f"{call.convolution} = " if call.convolution else ""
        listed.append(f"{number}{_title(call, calls)} ({format_shape(call.shape)})")
    more = f", and {len(listed) - _MAX_LISTED} more" if len(listed) > _MAX_LISTED else ""
    return ", ".join(listed[:_MAX_LISTED]) + more


@contextmanager
def _ended_at(module: nn.Module, call: int) -> Iterator[None]:
    """In the block, raise `_Reached` with the output of a call of a module."""
    calls = 0

    def end(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal calls
        calls += 1
        if calls > call:
            raise _Reached(output)

    handle = module.register_forward_hook(end)
    try:
        yield
    finally:
        handle.remove()
