"""Adam and its learning rate, the same on one process and on many."""

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dcgan import distributed
from dcgan.config import TrainConfig


def adam(
    network: nn.Module, lr: float, config: TrainConfig, recorded: bool = False
) -> torch.optim.Adam:
    """Of all parameters of a network. `recorded`: its steps may be part of a CUDA graph."""
    if recorded:
        lr = torch.tensor(lr, device=next(network.parameters()).device)
        # The steps before the recording are no mistake.
        warnings.filterwarnings("ignore", ".* running without CUDA graph capture", UserWarning)
    return torch.optim.Adam(
        network.parameters(),
        lr,
        betas=(config.beta1, config.beta2),
        fused=True,
        capturable=recorded,
    )


def descend(
    network: nn.Module, optimizer: torch.optim.Optimizer, look: Callable[[Tensor], None]
) -> Tensor:
    """Mean of the gradients over processes, one step of the optimizer. Returns their norm.

    `look` is shown the norm before the step.
    """
    gradients = [parameter.grad for parameter in network.parameters()]
    distributed.average(gradients)
    norm = torch.nn.utils.get_total_norm(gradients)
    look(norm)
    optimizer.step()
    return norm


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)  # where a recorded step reads it
        else:
            group["lr"] = lr


def lr_of(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate of the last step. Waits for the device where a recorded step reads it."""
    lr = optimizer.param_groups[0]["lr"]
    return float(f"{lr.item():.6g}") if isinstance(lr, Tensor) else lr  # of fp32's digits


def decayed(done: float, law: str) -> float:
    """Factor of the learning rates when a share `done` of the steps is done."""
    return {"none": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[law]
