"""Adam, its learning rate, and gradient clipping, the same on one process and on many."""

import math
import warnings

import torch
from torch import Tensor, nn

from dcgan.config import TrainConfig


def make_adam(
    network: nn.Module, lr: float, config: TrainConfig, capturable: bool = False
) -> torch.optim.Adam:
    """Fused Adam over all parameters of a network (Kingma and Ba 2015).

    `capturable`: its steps may be captured in a CUDA graph, which reads the learning rate from the
    device.
    """
    rate: float | Tensor = lr
    if capturable:
        rate = torch.tensor(lr, device=next(network.parameters()).device)
        # The steps before the capture run without a graph on purpose.
        warnings.filterwarnings("ignore", ".* running without CUDA graph capture", UserWarning)
    return torch.optim.Adam(
        network.parameters(),
        rate,
        betas=(config.beta1, config.beta2),
        fused=True,
        capturable=capturable,
    )


def gradients(network: nn.Module) -> list[Tensor]:
    """The gradients of all parameters, which the last backward pass has filled."""
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


def clip_gradients(optimizer: torch.optim.Adam, ratio: float) -> None:
    """Scale gradients down to `ratio` times their running RMS where they are longer; 0: never.

    The running RMS is the root of Adam's second moments, summed over all parameters. Adam divides
    by moments that need 1 / (1 - beta2) steps to follow the gradients: right after a growth of the
    gradients its updates are up to 1 / sqrt(1 - beta2) times too long, which makes D's gradients
    grow further until it diverges. Shazeer and Stern 2018 (Adafactor), section 6, describe this;
    they clip the update of each matrix instead. Before the first step there is no RMS and nothing
    is clipped. No host synchronisation.
    """
    (group,) = optimizer.param_groups
    parameters, (_, beta2) = group["params"], group["betas"]
    if not ratio or parameters[0] not in optimizer.state:
        return
    states = [optimizer.state[parameter] for parameter in parameters]
    grads = [parameter.grad for parameter in parameters]
    moments = torch._foreach_norm([state["exp_avg_sq"] for state in states], 1)
    rms = (torch.stack(moments).sum() / (1 - beta2 ** states[0]["step"])).sqrt()
    factor = ratio * rms / torch.nn.utils.get_total_norm(grads)
    torch._foreach_mul_(grads, torch.where(rms > 0, factor.clamp_max(1), 1))


def adam_step(optimizer: torch.optim.Adam, skip: Tensor) -> None:
    """Update the parameters. A fused Adam leaves them and its moments alone where `skip` is 1."""
    if optimizer.defaults["fused"]:  # the other implementations cannot skip on the device
        optimizer.found_inf = skip  # type: ignore[attr-defined]  # Adam reads it
    optimizer.step()


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate, on the device where a captured step reads it from there."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def get_lr(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate of the last step. Waits for the device where it is stored there."""
    lr = optimizer.param_groups[0]["lr"]
    return float(f"{lr.item():.6g}") if isinstance(lr, Tensor) else lr  # float32 has 7 digits


def lr_factor(progress: float, schedule: str) -> float:
    """Factor of the learning rates when a share `progress` in [0, 1] of the steps is done."""
    cosine = (1 + math.cos(math.pi * progress)) / 2
    return {"none": 1.0, "linear": 1 - progress, "cosine": cosine}[schedule]
