"""Edits of one attribute that follow the gradients of a classifier for each latent apart.

One direction for all latents is a mean over them. Where an attribute is not linear in z, the
shortest way that leaves the other attributes alone differs from image to image.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dcgan.latent.directions import move
from dcgan.networks.initialization import LATENT_VARIANCES

_MARGIN = 4.0  # of a logit beyond 0: the classifier is 98 % sure
_STEPS = 50
_FIRST_STEP, _LAST_STEP = 0.3, 0.06  # lengths, in standard deviations of a component of z
_SMALLEST_GRADIENT = 1e-6


def edit(
    score: Callable[[Tensor], Tensor],
    z: Tensor,
    index: int,
    wanted: bool = True,
    *,
    distribution: str = "normal",
    latent_dim: int | None = None,
    start: Tensor | None = None,
    free: Sequence[int] = (),
    steps: int = _STEPS,
) -> Tensor:
    """Latents near z whose images have (or, not `wanted`, lack) an attribute and keep the others.

    `score`: a differentiable function of latents to logits [N, K], of which `index` is edited.
    Steps against the gradient minimise the sum of two hinge losses: of the wanted logit below a
    margin, and of every other logit below the margin on its own side of 0, or below where it was,
    if that was nearer to 0. The logits `free` may change. The steps of every latent have the same
    length, which shrinks, until its loss is 0. (Adam's steps, equally long in every component of z,
    change twice as much of an image.)

    `start`: latents to start from instead of z, for example moved along a direction of all images,
    which is better where an attribute is far. Columns of z from `latent_dim` on are labels, which
    stay; default: none are. -> [N, D] as z.
    """
    latent_dim = latent_dim or z.shape[1]
    with torch.no_grad():
        before = score(z)
    # In how far each logit must stay, or come, on the side of its sign.
    sides = before.sign()
    least = before.abs().clamp(max=_MARGIN)
    sides[:, index], least[:, index] = (1.0 if wanted else -1.0), _MARGIN
    weights = torch.ones(before.shape[1], device=z.device)
    weights[list(free)] = 0
    weights[index] = 1
    offset = ((z if start is None else start) - z)[:, :latent_dim]
    deviation = LATENT_VARIANCES[distribution] ** 0.5
    for length in torch.linspace(_FIRST_STEP, _LAST_STEP, steps).tolist():
        offset = offset.detach().requires_grad_()
        logits = score(move(z, offset, "normal"))
        loss = ((least - sides * logits).relu() * weights).sum()
        (gradient,) = torch.autograd.grad(loss, offset)
        size = gradient.norm(dim=1, keepdim=True)
        gradient = torch.where(size > _SMALLEST_GRADIENT, gradient / size, 0.0)
        offset = offset.detach() - length * deviation * gradient
        if distribution == "uniform":  # in its box, by projection: a clamp would stop gradients
            offset = move(z, offset, distribution)[:, :latent_dim] - z[:, :latent_dim]
    return move(z, offset.detach(), distribution)
