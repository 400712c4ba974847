"""Directions of latent space along which one attribute of the images changes.

Latents z are [N, latent_dim], scores [N, K] are the logits of K attributes of the images of z:
above 0 where an image has the attribute. A direction is a unit vector [latent_dim].
"""

import torch
from torch import Tensor

RIDGE = 1e-2  # of the mean squared latent, added to the diagonal of the normal equations


def unit(v: Tensor) -> Tensor:
    """Vectors scaled to length 1, [..., D]; a zero vector stays."""
    length = v.norm(dim=-1, keepdim=True)
    return v / torch.where(length > 0, length, 1.0)


def linear_scores(z: Tensor, scores: Tensor, ridge: float = RIDGE) -> tuple[Tensor, Tensor]:
    """The linear model of scores by ridge regression: weights [K, latent_dim] and offsets [K].

    It minimises the mean over the samples of |z w + b - s|^2, plus `ridge` times the mean variance
    of z times |w|^2. Both are centred first, so that the offset is not penalised.
    """
    z, scores = z.double(), scores.double()
    z_mean, score_mean = z.mean(0), scores.mean(0)
    centred = z - z_mean
    gram = centred.T @ centred / len(z)
    penalty = ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=z.dtype, device=z.device)
    weights = torch.linalg.solve(gram + penalty, centred.T @ (scores - score_mean) / len(z)).T
    return weights.float(), (score_mean - weights @ z_mean).float()


def orthogonalized(weight: Tensor, others: Tensor) -> Tensor:
    """The unit vector nearest to `weight` [D] that leaves the linear scores `others` [M, D] as they
    are: their span is projected out. Zero where `weight` lies in it.
    """
    if len(others) == 0:
        return unit(weight)
    w, basis = weight.double(), others.double()
    rest = w - basis.T @ (torch.linalg.pinv(basis.T) @ w)
    if rest.norm() < 1e-6 * w.norm():
        return torch.zeros_like(weight)
    return unit(rest).to(weight.dtype)
