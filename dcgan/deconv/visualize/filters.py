"""The kernels of a network's first convolution, as pictures."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dcgan.deconv.visualize.tracing import input_error, probe_inputs
from dcgan.errors import UserError
from dcgan.networks import evaluating

_CONVOLUTIONS = {F.conv2d, torch.conv2d}


class _Found(BaseException):
    """Ends a pass at the first convolution."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight = weight


class _FirstConvolution(TorchFunctionMode):
    """In the block, the first convolution raises `_Found`, be it a module or a function."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _CONVOLUTIONS:
            raise _Found(args[1] if len(args) > 1 else kwargs["weight"])
        return func(*args, **kwargs)


def first_filters(
    network: nn.Module,
    input_shape: tuple[int, ...],
    forward: Callable[[Tensor], object] | None = None,
) -> Tensor:
    """The kernels of the convolution that is computed first: [C', C, k, k] with C of 1 or 3.

    Raises UserError where there is none, or it does not read grey or colour images.
    """
    try:
        with evaluating(network), torch.no_grad(), _FirstConvolution():
            (forward or network)(probe_inputs(network, input_shape))
    except _Found as found:
        weight = found.weight.detach()
        if weight.shape[1] not in (1, 3):
            raise UserError(
                f"the first convolution reads {weight.shape[1]} channels, which is no picture"
            ) from None
        return weight
    except (Exception, SystemExit) as error:  # a user's code can raise anything
        raise input_error(input_shape, error) from error
    raise UserError("the network has no convolution")
