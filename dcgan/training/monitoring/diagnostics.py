"""Diagnostics of training as pure functions of tensors. Their results stay on the device."""

from collections.abc import Collection, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan.training.kernel_smoothing import smooth_kernels

_SATURATED = 0.99  # absolute value beyond which the slope of tanh is below 0.02
_COMPARED_SIDE = 8  # pixels: images are compared at this size, so that noise is no diversity
_MAX_IMAGES = 64  # of a batch, so that diagnostics take a few thousandths of a step
_PIXEL_STRIDE = 3  # odd, so that every phase of a checkerboard is sampled


@torch.no_grad()
def image_diagnostics(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Saturation and diversity of a batch: [N, C, S, S] in [-1, 1] each -> 0-dim tensors.

    `saturated_*`: share of the values beyond ±0.99. `diversity`: root-mean-square distance between
    two fakes, relative to that between two reals; near 0 when all fakes are the same. `nearest`:
    mean distance of a fake to its nearest neighbour in the batch, relative to that of reals; near 0
    while `diversity` is not when the same few fakes repeat. A batch of one image has no distances.
    """
    real, fake = real[:_MAX_IMAGES], fake[:_MAX_IMAGES]
    shares = {"saturated_real": _saturated_share(real), "saturated_fake": _saturated_share(fake)}
    if len(real) < 2:  # each of many processes may have one image
        return shares
    spread, nearest = _distances(real, fake)
    return shares | {
        "diversity": spread[1] / spread[0].clamp_min(1e-3),
        # A small dataset repeats its images within a batch: a floor for the distance of reals.
        "nearest": nearest[1] / torch.maximum(nearest[0], spread[0] / 10).clamp_min(1e-3),
    }


def _saturated_share(images: Tensor) -> Tensor:
    """Share of saturated values, in every third row and column."""
    return (images[:, :, ::_PIXEL_STRIDE, ::_PIXEL_STRIDE].abs() > _SATURATED).float().mean()


def _distances(*sets: Tensor) -> tuple[Tensor, Tensor]:
    """Root-mean-square distance over all pairs, and mean distance to the nearest neighbour, of each
    set of images [N, C, S, S], N > 1. Returns two tensors with one number a set.
    """
    stride = max(sets[0].shape[-1] // _COMPARED_SIDE, 1)
    small = torch.stack([F.avg_pool2d(images.float(), stride) for images in sets]).flatten(2)
    # By matrix products the distance of two equal images would be a rounding error, not zero.
    between = torch.cdist(small, small, compute_mode="donot_use_mm_for_euclid_dist")
    count = small.shape[1]
    spread = (between.square().sum((1, 2)) / (count * (count - 1))).sqrt()
    between.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return spread, between.amin(2).mean(1)


@torch.no_grad()
def weight_diagnostics(
    G: nn.Module,
    G_ema: nn.Module,
    optimizers: dict[str, torch.optim.Adam],
    smoothed: Collection[Tensor] = (),
) -> dict[str, Tensor]:
    """Relative sizes of the last updates and of the EMA's distance: 0-dim tensors.

    `update_*`: norm of the last update by each optimizer, relative to the norm of its parameters;
    `smoothed`: the kernels whose updates are smoothed (see kernel_smoothing).
    `ema_distance`: norm of G_ema - G, relative to the norm of G, over all parameters.
    """
    parameters: list[Tensor] = list(G.parameters())
    averages: list[Tensor] = list(G_ema.parameters())
    updates = {
        f"update_{name}": _relative_update(optimizer, smoothed)
        for name, optimizer in optimizers.items()
    }
    distance = _norm(torch._foreach_sub(averages, parameters)) / _norm(parameters)
    return updates | {"ema_distance": distance}


def _relative_update(optimizer: torch.optim.Adam, smoothed: Collection[Tensor] = ()) -> Tensor:
    """Norm of Adam's last update relative to that of its parameters: 0-dim.

    Computed from Adam's state, without a copy of the former parameters: the update is
    lr m / (sqrt(v) + eps), with bias-corrected m and v (Kingma and Ba 2015, algorithm 1).
    """
    (group,) = optimizer.param_groups
    parameters, (beta1, beta2) = group["params"], group["betas"]
    states = [optimizer.state[parameter] for parameter in parameters]
    steps = states[0]["step"]
    denominators = torch._foreach_sqrt([state["exp_avg_sq"] for state in states])
    torch._foreach_div_(denominators, (1 - beta2**steps).sqrt())
    torch._foreach_add_(denominators, group["eps"])
    unsmoothed = torch._foreach_div([state["exp_avg"] for state in states], denominators)
    smoothed_ids = {id(parameter) for parameter in smoothed}
    updates = [
        smooth_kernels(update) if id(parameter) in smoothed_ids else update
        for parameter, update in zip(parameters, unsmoothed, strict=True)
    ]
    return group["lr"] / (1 - beta1**steps) * _norm(updates) / _norm(parameters)


def _norm(tensors: Iterable[Tensor]) -> Tensor:
    """Euclidean norm over all elements of all tensors: 0-dim."""
    return torch.nn.utils.get_total_norm(tensors)
