"""Signs of how training goes, as pure functions of tensors. They stay on the device."""

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan.training.kernel_smoothing import smooth

SATURATED = 0.99  # of 1: beyond it the slope of tanh is below 0.02
SIDE = 8  # of the pictures that are compared: what is small and noisy is no variety
MOST = 64  # images of a batch that are looked at, so that it costs a few thousandths of a step
EVERY = 3  # rows and columns: an odd number, so that a checkerboard is seen as it is


@torch.no_grad()
def of_images(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """What one batch of images shows: [N, C, S, S] in [-1, 1] each -> 0-dim tensors.

    `saturated_*`: share of the values beyond SATURATED. `diversity`: root-mean-square distance
    between two fakes, relative to that between two reals; near 0, G draws one picture. `nearest`:
    mean distance of a fake to the nearest other one, relative to the same of reals; near 0 while
    `diversity` is not, G draws a few pictures again and again.
    """
    real, fake = real[:MOST], fake[:MOST]
    shares = {"saturated_real": saturated(real), "saturated_fake": saturated(fake)}
    if len(real) < 2:  # of many processes each may have one image
        return shares
    spread, nearest = distances(real, fake)
    return shares | {
        "diversity": spread[1] / spread[0].clamp_min(1e-3),
        # Few reals come again and again in a batch: nearer than this no two are taken to be.
        "nearest": nearest[1] / torch.maximum(nearest[0], spread[0] / 10).clamp_min(1e-3),
    }


def saturated(images: Tensor) -> Tensor:
    """Share of the values, of some rows and columns, that are beyond SATURATED."""
    return (images[:, :, ::EVERY, ::EVERY].abs() > SATURATED).float().mean()


def distances(*sets: Tensor) -> tuple[Tensor, Tensor]:
    """Of each set [N, C, S, S], N > 1: root mean square over all pairs; mean to the nearest other.

    Two tensors with one number per set.
    """
    small = [F.avg_pool2d(images.float(), max(images.shape[-1] // SIDE, 1)) for images in sets]
    small = torch.stack(small).flatten(2)
    # By matrix products the distance of two equal images would be rounding, not zero.
    between = torch.cdist(small, small, compute_mode="donot_use_mm_for_euclid_dist")
    count = small.shape[1]
    spread = (between.square().sum((1, 2)) / (count * (count - 1))).sqrt()
    between.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return spread, between.amin(2).mean(1)


@torch.no_grad()
def of_state(
    G: nn.Module,
    G_ema: nn.Module,
    optimizers: dict[str, torch.optim.Adam],
    smoothed: Collection[Tensor] = (),
) -> dict[str, Tensor]:
    """What weights and optimizers show after a step: 0-dim tensors.

    `update_*`: norm of the last step of each optimizer relative to that of its parameters, of which
    `smoothed` ones learn by `smoothing.learn_smoothly`.
    `ema_distance`: norm of average minus G, relative to G, over the parameters.
    """
    parameters, averages = list(G.parameters()), list(G_ema.parameters())
    return {f"update_{name}": last_update(opt, smoothed) for name, opt in optimizers.items()} | {
        "ema_distance": norm(torch._foreach_sub(averages, parameters)) / norm(parameters)
    }


def last_update(optimizer: torch.optim.Adam, smoothed: Collection[Tensor] = ()) -> Tensor:
    """Relative size of Adam's last step, from its state (Kingma and Ba 2015, algorithm 1).

    The step is lr m / (sqrt(v) + eps) with m and v corrected for their start at zero, so that no
    copy of the former parameters is needed. Of `smoothed` kernels it is then smoothed.
    """
    (group,) = optimizer.param_groups
    parameters, (beta1, beta2) = group["params"], group["betas"]
    states = [optimizer.state[parameter] for parameter in parameters]
    steps = states[0]["step"]
    denominators = torch._foreach_sqrt([state["exp_avg_sq"] for state in states])
    torch._foreach_div_(denominators, (1 - beta2**steps).sqrt())
    torch._foreach_add_(denominators, group["eps"])
    moves = torch._foreach_div([state["exp_avg"] for state in states], denominators)
    wide = {id(parameter) for parameter in smoothed}
    moves = [
        smooth(move) if id(parameter) in wide else move
        for parameter, move in zip(parameters, moves, strict=True)
    ]
    return group["lr"] / (1 - beta1**steps) * norm(moves) / norm(parameters)


def norm(tensors: list[Tensor]) -> Tensor:
    """Euclidean norm over all elements of some tensors."""
    return torch.nn.utils.get_total_norm(tensors)
