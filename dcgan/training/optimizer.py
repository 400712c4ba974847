"""Adam and its learning rate, the same on one process and on many."""

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dcgan.config import TrainConfig
from dcgan.runtime import distributed


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


def clip(optimizer: torch.optim.Adam, times: float) -> None:
    """Have an optimizer scale gradients down that are longer than `times` what they have been
    lately: the root mean square that Adam's second moments keep, of all weights together.

    Adam divides by moments that take 1 / (1 - beta2) steps to follow: gradients that have just
    grown move the weights up to 1 / sqrt(1 - beta2) times as far as others do, D's grow more by
    such a step, and it runs away. Shazeer and Stern 2018, section 6, have the reason; they limit
    the updates of each matrix.
    """
    (group,) = optimizer.param_groups
    parameters, (_, beta2) = group["params"], group["betas"]

    def shorten(*_) -> None:
        if parameters[0] not in optimizer.state:
            return  # nothing is known before the first step
        states = [optimizer.state[parameter] for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters]
        moments = torch._foreach_norm([state["exp_avg_sq"] for state in states], 1)
        usual = (torch.stack(moments).sum() / (1 - beta2 ** states[0]["step"])).sqrt()
        factor = times * usual / torch.nn.utils.get_total_norm(gradients)
        torch._foreach_mul_(gradients, torch.where(usual > 0, factor.clamp_max(1), 1))

    optimizer.register_step_pre_hook(shorten)


def descend(
    network: nn.Module, optimizer: torch.optim.Optimizer, look: Callable[[Tensor], None]
) -> Tensor:
    """Mean of the gradients over processes, one step of the optimizer. Returns their norm.

    `look` is shown the norm before the step.
    """
    gradients = [parameter.grad for parameter in network.parameters()]
    distributed.average_tensors(gradients)
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
