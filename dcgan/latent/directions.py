"""Directions of latent space along which one attribute of the images changes.

Latents z are [N, latent_dim], scores [N, K] are the logits of K attributes of the images of z:
above 0 where an image has the attribute. A direction is a unit vector [latent_dim].
"""

import torch
from torch import Tensor

from dcgan.errors import UsageError

_RIDGE = 1e-2  # of the variance of a latent, added to the diagonal of the normal equations
_CONFIDENT_LOGIT = 4.0  # a classifier's logits beyond this say the same
_PARALLEL = 1e-6  # what is left of a vector that lies in the span of others, by rounding


def unit(v: Tensor) -> Tensor:
    """Vectors scaled to length 1, [..., D]; a zero vector stays."""
    length = v.norm(dim=-1, keepdim=True)
    return v / torch.where(length > 0, length, 1.0)


def linear_scores(z: Tensor, scores: Tensor, ridge: float = _RIDGE) -> tuple[Tensor, Tensor]:
    """The linear model of scores by ridge regression: weights [K, D] and offsets [K].

    It minimises the mean over the samples of |w z + b - s|^2 plus `ridge` |w|^2 times the mean
    variance of the latents. The offset is not penalised. Scores are clamped to +-4 first. Raises
    UsageError for latents that are all the same.
    """
    z, scores = z.double(), scores.double().clamp(-_CONFIDENT_LOGIT, _CONFIDENT_LOGIT)
    z_mean, score_mean = z.mean(0), scores.mean(0)
    centred = z - z_mean
    gram = centred.T @ centred / len(z)
    if not gram.any():
        raise UsageError("a direction needs latents that differ: take more, or truncate less")
    penalty = ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=z.dtype, device=z.device)
    weights = torch.linalg.solve(gram + penalty, centred.T @ (scores - score_mean) / len(z)).T
    return weights.float(), (score_mean - weights @ z_mean).float()


def orthogonalized(weight: Tensor, others: Tensor) -> Tensor:
    """The unit vector nearest to `weight` [D] that leaves the linear scores of `others` [M, D] as
    they are: the span of these is projected out. Zero where `weight` lies in it.
    """
    if len(others) == 0:
        return unit(weight)
    basis, w = others.double().T, weight.double()
    rest = w - basis @ (torch.linalg.pinv(basis) @ w)
    if rest.norm() <= _PARALLEL * w.norm():
        return torch.zeros_like(weight)
    return unit(rest).to(weight.dtype)


def direction_from_examples(with_it: Tensor, without: Tensor) -> Tensor:
    """The direction from the mean of latents without an attribute [N, D] to the mean of those with
    it [M, D] (vector arithmetic of Radford et al. 2015, section 6.3.2).

    Latents are sampled independently with one variance, so that this is also the direction of
    linear discriminant analysis with the covariance shrunk all the way to that of the latents; with
    tens of examples, an estimated covariance adds noise. Raises UsageError where the means agree.
    """
    if len(with_it) == 0 or len(without) == 0:
        raise UsageError("a direction needs an example with the attribute and one without it")
    difference = with_it.mean(0) - without.mean(0)
    if difference.norm() == 0:
        raise UsageError("the examples with the attribute and without it have the same mean")
    return unit(difference)


def turn_vector(z: Tensor, values: Tensor, share: float = 0.1) -> Tensor:
    """The mean latent of the highest `values` minus that of the lowest, [D].

    z: [N, D]; values: [N], in any order, for example the poses of the images; `share` of the
    samples, at least one, is taken at each end. Adding multiples of it to a latent turns the face
    from one end to the other (Radford et al. 2015, figure 8).
    """
    if len(z) < 2 or len(z) != len(values):
        raise UsageError(f"{len(z)} latents and {len(values)} values: give two or more of each")
    if not 0 < share <= 0.5:
        raise UsageError(f"the share at each end must be above 0 and at most 0.5, not {share}")
    count = max(1, int(len(z) * share))
    order = values.argsort(stable=True)
    return z[order[-count:]].mean(0) - z[order[:count]].mean(0)


def sefa(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Directions that change the output of a first layer most, and the share of each in the sum.

    kernel: [D, C, k, k] of the transposed convolution that reads z. The directions, [D, D] in
    descending order, are the eigenvectors of A^T A, where A maps z to the layer's output, and the
    shares, [D], are its eigenvalues over their sum (Shen and Zhou 2021, arXiv:2007.06600,
    equation 6). Of G with batch norm, give the kernel that has taken in its scale, see
    `networks.fold_batch_norm`: the next layer sees the output so scaled.
    """
    rows = kernel.flatten(1).double()
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    values = values.clamp(min=0)
    shares = values / values.sum()
    return _signed(vectors.T.flip(0)).to(kernel.dtype), shares.flip(0).to(kernel.dtype)


def pca_directions(z: Tensor, features: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Directions of the largest variance of features, and the share of it that each has.

    z: [N, D]; features: [N, F] of the images of z, for example after the first layer and its
    activation -> [components, D] and [components]. The principal components of the features are
    regressed on by z, as GANSpace does (Haerkoenen et al. 2020, arXiv:2004.02546, section 2.2).
    """
    centred = (features - features.mean(0)).double()
    values, vectors = torch.linalg.eigh(centred @ centred.T)  # of N x N: N < F
    order = values.argsort(descending=True)[:components]
    coordinates = vectors[:, order]  # [N, components], orthonormal
    # The least squares z ~ coordinates @ U have the solution U = coordinates^T z.
    directions = unit(coordinates.T @ (z - z.mean(0)).double())
    shares = values[order].clamp(min=0) / values.clamp(min=0).sum()
    return _signed(directions).to(z.dtype), shares.to(z.dtype)


def _signed(directions: Tensor) -> Tensor:
    """Each direction or its opposite, so that its largest component is positive."""
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -directions, directions)


def move(z: Tensor, offset: Tensor, distribution: str) -> Tensor:
    """Latents moved by an offset, [N, D] + [D] or [N, D], kept in the box of a "uniform"
    distribution. Columns of z beyond those of the offset are labels, which stay.
    """
    latent_dim = offset.shape[-1]
    moved = z[:, :latent_dim] + offset
    if distribution == "uniform":
        moved = moved.clamp(-1, 1)
    return torch.cat([moved, z[:, latent_dim:]], 1)
