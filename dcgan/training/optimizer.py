"""Optimizers, their learning rate, and gradient clipping, the same on one process and on many."""

import math
import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from dcgan.config import TrainConfig
from dcgan.training.eager_optimizers import Adam


def make_adam(
    network: nn.Module, lr: float, config: TrainConfig, capturable: bool = False
) -> torch.optim.Adam:
    """Fused Adam over all parameters of a network (Kingma and Ba 2015).

    `capturable`: its steps may be captured in a CUDA graph, which reads the learning rate from the
    device.
    """
    rate: float | Tensor = lr
    device = next(network.parameters()).device
    heeds_found_inf(device)  # so that no step waits for the answer
    if capturable:
        rate = torch.tensor(lr, device=device)
        # The steps before the capture run without a graph on purpose.
        warnings.filterwarnings("ignore", ".* running without CUDA graph capture", UserWarning)
    return Adam(
        network.parameters(),
        rate,
        betas=(config.beta1, config.beta2),
        fused=True,
        capturable=capturable,
    )


def gradients(network: nn.Module) -> list[Tensor]:
    """The gradients of all parameters, which the last backward pass has filled."""
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


class GradientClipping:
    """Scales the gradients of an Adam down to `ratio` times their running RMS where they are
    longer; ratio 0: never.

    The running RMS is the root of Adam's second moments, summed over all parameters. Adam divides
    by moments that need 1 / (1 - beta2) steps to follow the gradients: right after a growth of the
    gradients its updates are up to 1 / sqrt(1 - beta2) times too long, which makes D's gradients
    grow further until it diverges. Shazeer and Stern 2018 (Adafactor), section 6, describe this;
    they clip the update of each matrix instead. Before the first step there is no RMS and nothing
    is clipped. No host synchronisation.

    `moment`, 0-dim, is the sum of the second moments. It follows from the norms of the gradients by
    Adam's own recursion, which saves a pass over all moments.
    """

    def __init__(self, optimizer: torch.optim.Adam, ratio: float):
        self.optimizer, self.ratio = optimizer, ratio
        (self._group,) = optimizer.param_groups
        self.moment = torch.zeros((), device=self._group["params"][0].device)

    @torch.no_grad()
    def clip(self, norm: Tensor, skip: Tensor) -> None:
        """Clip the gradients of the next step, of this total norm. `skip`, 0-dim, is 1 where that
        step will be skipped.
        """
        first, (_, beta2) = self._group["params"][0], self._group["betas"]
        if self.ratio and first in self.optimizer.state:
            steps = self.optimizer.state[first]["step"]
            rms = (self.moment / (1 - beta2**steps)).sqrt()
            factor = torch.where(rms > 0, (self.ratio * rms / norm).clamp_max(1), 1)
            torch._foreach_mul_([parameter.grad for parameter in self._group["params"]], factor)
            norm = norm * factor
        moment = torch.lerp(self.moment, norm.square().to(self.moment), 1 - beta2)
        self.moment.copy_(torch.where(skip > 0, self.moment, moment))

    def load(self, moment: Tensor | None) -> None:
        """Continue from a saved moment; None sums Adam's own, as they are in older checkpoints."""
        if moment is None:
            states = self.optimizer.state.values()
            moment = torch.stack([state["exp_avg_sq"].sum() for state in states]).sum()
        self.moment.copy_(moment)


@torch.no_grad()
def optimizer_step(optimizer: torch.optim.Optimizer, skip: Tensor) -> None:
    """Update the parameters, or leave them and the optimizer's state alone where `skip`, 0-dim, is
    1. The optimizer is an Adam or an SGD.
    """
    kind: Any = type(optimizer)  # mypy takes it for unhashable
    if optimizer.defaults["fused"] and heeds_found_inf(skip.device, kind):
        optimizer.found_inf = skip  # type: ignore[attr-defined]  # the optimizer reads it
        optimizer.step()
        return
    before = {id(tensor): tensor.clone() for tensor in _tensors_on(skip.device, optimizer)}
    optimizer.step()
    for tensor in _tensors_on(skip.device, optimizer):
        old = before.get(id(tensor), torch.zeros_like(tensor))  # moments start as zero
        tensor.copy_(torch.where(skip > 0, old, tensor))


@cache
def heeds_found_inf(device: torch.device, kind: Any = Adam) -> bool:
    """Whether a fused Adam or SGD skips the steps it is told to skip, tried on two weights.

    On Apple's GPUs Adam does not. Waits for the device once.
    """
    weights = nn.Parameter(torch.ones(2, device=device))
    optimizer = kind([weights], fused=True)
    for gradient, skip in ((1.0, 0.0), (math.nan, 1.0)):
        before = [tensor.detach().clone() for tensor in _tensors_on(device, optimizer)]
        weights.grad = torch.full_like(weights, gradient)
        optimizer.found_inf = torch.tensor(skip, device=device)
        optimizer.step()
    return all(map(torch.equal, before, _tensors_on(device, optimizer)))


def _tensors_on(device: torch.device, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The parameters and the state of an optimizer that are on a device."""
    parameters = [tensor for group in optimizer.param_groups for tensor in group["params"]]
    states = [value for state in optimizer.state.values() for value in state.values()]
    return [
        value
        for value in (*parameters, *states)
        if isinstance(value, Tensor) and value.device == device
    ]


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate, on the device where a captured step reads it from there.

    A group of parameters with a `lr_factor` gets that many times as much.
    """
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr * group.get("lr_factor", 1.0)


def get_lr(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate of the last step. Waits for the device where it is stored there."""
    lr = optimizer.param_groups[0]["lr"]
    return float(f"{lr.item():.6g}") if isinstance(lr, Tensor) else lr  # float32 has 7 digits


def lr_factor(progress: float, schedule: str) -> float:
    """Factor of the learning rates when a share `progress` in [0, 1] of the steps is done."""
    cosine = (1 + math.cos(math.pi * progress)) / 2
    return {"none": 1.0, "linear": 1 - progress, "cosine": cosine}[schedule]
