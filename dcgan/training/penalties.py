"""Penalties on the gradient of D with respect to its images, to be added to the loss of D.

They keep D smooth where it is evaluated, without which the game of the two networks need not
converge (Mescheder et al. 2018). Both are differentiable in the parameters of D. An image's
gradient is that of the sum of all logits: where batch norm lets an image change the logits of
others, that is counted with it.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def zero_centred(logits: Tensor, images: Tensor) -> Tensor:
    """Mean over the images of ‖∇ₓ D(x)‖²: Mescheder et al. 2018, equations 9 and 10.

    R1 on real images, R2 on fake ones; the weight, gamma / 2 there, is the caller's.
    logits: [N], D's of `images`; images: [N, ...], which must have required gradients when D saw
    them -> scalar. No further pass through D is made.
    """
    return gradients(logits, images).square().sum(1).mean()


def gradient_penalty(
    D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor
) -> Tensor:
    """Mean of (‖∇D(x)‖ - 1)² at x = mix real + (1 - mix) fake: Gulrajani et al. 2017, equation 3.

    real, fake: [N, C, S, S]; mix: [N, 1, 1, 1], of U(0, 1) -> scalar. The weight, 10 there, is
    the caller's. Where a gradient vanishes the penalty's own derivative is taken as zero.
    """
    between = (mix * real + (1 - mix) * fake).detach().requires_grad_(True)
    # Unlike a square root of a sum, this norm has a finite derivative at zero.
    norms = torch.linalg.vector_norm(gradients(D(between), between), dim=1)
    return (norms - 1).square().mean()


def gradients(logits: Tensor, images: Tensor) -> Tensor:
    """∇ₓ D(x) of every image, itself differentiable -> [N, numbers in an image].

    In float32 at least, since bfloat16 has no digits for a sum over an image.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.flatten(1).to(torch.promote_types(gradient.dtype, torch.float32))
