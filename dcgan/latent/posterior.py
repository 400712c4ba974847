"""The most probable latent vector of one image, by the Levenberg-Marquardt method.

Latents are computed as u in R^latent_dim with the prior N(0, 1): z = u for normal latents, and
z = 2 Phi(u) - 1 for uniform ones, which then stay within [-1, 1].

The pixels are those of G with normal noise of an unknown variance. With the most likely variance
(profile likelihood), twice the negative logarithm of the posterior is, up to a constant,

    E(u) = n log(mean((G(z) - image)^2) + e) + |u|^2

where n is the number of independent residuals and e the variance of rounding to 8 bits. So the
prior hardly counts for an image that G can make, and keeps z typical for one that it cannot.
"""

import math

import torch
from torch import Tensor

from dcgan.networks import Generator, image_and_jacobian

# Neighbouring pixels deviate together, so that an image has far fewer independent residuals than
# pixels. With 600 the latents of new faces of 64 x 64 pixels are as long as those of training. With
# 30 their images are blurred; with 1,500 a black image gets latents of three times that length.
_RESIDUALS = 600
_ROUNDING_VARIANCE = (1 / 127.5) ** 2 / 12
MAX_ITERATIONS = 30
_MIN_GAIN = 0.5  # of E in an iteration; it is twice a logarithm of a probability
_MAX_TRIALS = 8  # of the damping in an iteration
_FIRST_DAMPING, _LESS, _MORE, _LEAST_DAMPING = 1.0, 0.2, 4.0, 1e-6


def from_gaussian(u: Tensor, distribution: str) -> Tensor:
    """Latents of a distribution, "normal" or "uniform", from u ~ N(0, 1) of the same quantiles."""
    return u if distribution == "normal" else torch.erf(u / math.sqrt(2))


def most_probable(
    G: Generator, image: Tensor, start: Tensor, labels: Tensor, iterations: int = MAX_ITERATIONS
) -> tuple[Tensor, float]:
    """A local minimum of E from a start u, and E there (above); or how far so many iterations lead.

    G: folded, see `fold_batch_norm`. image: [C, S, S] in [-1, 1]; start: [latent_dim]; labels:
    [num_labels], which stay as they are, or [0]. All on G's device. Each iteration solves the
    linearised problem with a multiple of the curvature's diagonal added, which shrinks after a
    success and grows after a failure (Marquardt 1963, doi:10.1137/0111030).
    """
    u, damping = start, _FIRST_DAMPING
    energy = _energy(G, image, u, labels)
    for _ in range(iterations):
        gradient, curvature = _expand(G, image, u, labels)
        for _ in range(_MAX_TRIALS):
            damped = curvature + damping * curvature.diagonal().diag()
            step = torch.linalg.solve_ex(damped, gradient)[0]
            trial = u - step.to(u)
            trial_energy = _energy(G, image, trial, labels)
            if trial_energy < energy:
                break
            damping *= _MORE
        else:
            break
        gain = energy - trial_energy
        u, energy, damping = trial, trial_energy, max(damping * _LESS, _LEAST_DAMPING)
        if gain < _MIN_GAIN:
            break
    return u, energy


def _energy(G: Generator, image: Tensor, u: Tensor, labels: Tensor) -> float:
    """E(u); NaN where the image is not finite, which is less than nothing."""
    pixels = G(torch.cat([from_gaussian(u, G.latent), labels])[None])[0]
    error = float((pixels - image).square().mean())
    return _RESIDUALS * math.log(error + _ROUNDING_VARIANCE) + float(u.square().sum())


def _expand(G: Generator, image: Tensor, u: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Half the gradient of E [latent_dim], and half of its Gauss-Newton curvature [latent_dim,
    latent_dim], in float64 on the CPU.
    """
    pixels, jacobian = image_and_jacobian(G, torch.cat([from_gaussian(u, G.latent), labels]))
    residual, jacobian = (pixels - image).flatten(), jacobian.flatten(1)
    if G.latent == "uniform":  # the derivative of z with respect to u
        jacobian = jacobian * (math.sqrt(2 / math.pi) * torch.exp(-u.square() / 2))[:, None]
    weight = _RESIDUALS / (residual.square().mean() + _ROUNDING_VARIANCE) / len(residual)
    gradient = weight * (jacobian @ residual) + u
    curvature = weight * (jacobian @ jacobian.T)
    eye = torch.eye(len(u), dtype=torch.float64)
    return gradient.cpu().double(), curvature.cpu().double() + eye
