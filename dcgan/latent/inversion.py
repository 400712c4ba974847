"""Inversion: images to the latents from which a generator makes them, or what is nearest to them
(Creswell and Bharath 2018, arXiv:1802.05701; Zhu et al. 2016, arXiv:1609.03552).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan.config import InvertConfig
from dcgan.errors import UsageError
from dcgan.latent.noise import noise_from_seeds
from dcgan.latent.posterior import MAX_ITERATIONS, from_gaussian, most_probable
from dcgan.networks import Discriminator, Encoder, Generator, fold_batch_norm
from dcgan.runtime.device import full_float32_precision

_FOUND_DB = 40.0  # PSNR from which on an image counts as one that G makes: 2.6 of 255 levels
_FIRST_RESTART = 2**41  # seeds of restarts: no seed that a user is likely to invert the image of
_MIN_NORM = 1e-8  # of the features at a position


@dataclass(frozen=True)
class Inversion:
    """Latents of N images, on the CPU, and how well G makes the images from them."""

    latents: Tensor
    """Inputs of G, float32 [N, latent_dim + num_labels]."""
    reconstructions: Tensor
    """G's images of them, float32 [N, C, S, S] in [-1, 1]."""
    psnr: Tensor
    """Of the reconstructions, in dB, float32 [N]; see `psnr`."""
    feature_distance: Tensor | None
    """Of the reconstructions, float32 [N]; see `feature_distance`. None without D."""


@torch.no_grad()
@full_float32_precision()
def invert(
    G: Generator,
    images: Tensor,
    D: Discriminator | None = None,
    encoder: Encoder | None = None,
    labels: Mapping[int, float] | None = None,
    restarts: int = InvertConfig.restarts,
    on_image: Callable[[], object] = lambda: None,
    iterations: int = MAX_ITERATIONS,
) -> Inversion:
    """The most probable latents of images [N, C, S, S] in [-1, 1], see `latent.posterior`.

    The search starts at the encoder's guess, without one at the mean of all latents. An image below
    40 dB afterwards is searched for again from `restarts` random latents, and the most probable
    result counts. Each search has at most so many `iterations`, of which each takes about as long.
    D measures the feature distance.

    The labels of a conditional G are those of the encoder: the likeliest class, or the attributes
    with a probability above 1/2. `labels`, {index: 0 or 1} as `Labels.parse` returns it, are given
    instead. They stay as they are during the search.

    The result of an image is the same, bit for bit, whatever other images there are. `on_image` is
    called after each. Raises UsageError for images of another shape or range than G's, and for
    labels that G does not have, or that are neither given nor guessed.
    """
    images = torch.as_tensor(images)
    shape = (G.channels, G.size, G.size)
    if images.dim() != 4 or images.shape[1:] != shape or not len(images):
        wanted = ", ".join(map(str, shape))
        raise UsageError(f"inversion needs images [N, {wanted}], not {list(images.shape)}")
    if not (images.isfinite().all() and images.abs().max() <= 1):
        raise UsageError("inversion needs images with values from -1 to 1, see `images.to_float`")
    if labels and not set(labels) <= set(range(len(G.labels.names) if G.labels else 0)):
        raise UsageError(f"inversion needs labels of this generator by index, not {list(labels)}")
    if restarts < 0:
        raise UsageError(f"--restarts must be at least 0, not {restarts}")
    if encoder is None and needs_encoder(G, labels or {}):
        raise UsageError("the labels of the images are not known: give them, or an encoder")
    folded, device = fold_batch_norm(G), next(G.parameters()).device
    latents, made, distances = [], [], []
    for image in images.to(device).float():
        guess = encoder(image[None]) if encoder else (image.new_zeros(1, G.latent_dim), None)
        label_row = _choose_labels(G, guess[1], labels or {}, image)
        u = _search(folded, image, guess[0][0], label_row, restarts, iterations)
        latents.append(torch.cat([from_gaussian(u, G.latent), label_row]))
        made.append(folded(latents[-1][None])[0])
        if D is not None:
            distances.append(feature_distance(D, image[None], made[-1][None])[0])
        on_image()
    reconstructions = torch.stack(made).cpu()
    return Inversion(
        torch.stack(latents).cpu(),
        reconstructions,
        psnr(images.cpu().float(), reconstructions),
        torch.tensor(distances) if D is not None else None,
    )


def needs_encoder(G: Generator, labels: Mapping[int, float]) -> bool:
    """Whether G has labels that are not among the given ones."""
    if G.labels is None:
        return False
    return not labels if G.labels.kind == "class" else len(labels) < len(G.labels.names)


def psnr(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, 10 log10(2^2 / mean squared error), of [N, C, S, S] in
    [-1, 1] -> [N].
    """
    return 10 * torch.log10(4 / (images - reconstructions).square().flatten(1).mean(1))


@torch.no_grad()
def feature_distance(D: Discriminator, images: Tensor, reconstructions: Tensor) -> Tensor:
    """Distance in the features of D's blocks, of [N, C, S, S] in [-1, 1] -> [N], from 0 to 4.

    The features at a position are divided by their norm; the squared distances are averaged over
    positions, and over blocks (Zhang et al. 2018, arXiv:1801.03924, equation 1 with equal weights).
    """
    distances = [
        (_to_unit_norm(ours) - _to_unit_norm(theirs)).square().sum(1).mean((1, 2))
        for ours, theirs in zip(D.features(images), D.features(reconstructions), strict=True)
    ]
    return torch.stack(distances).mean(0)


def _to_unit_norm(features: Tensor) -> Tensor:
    return features / features.norm(dim=1, keepdim=True).clamp(min=_MIN_NORM)


def _choose_labels(
    G: Generator, logits: Tensor | None, labels: Mapping[int, float], image: Tensor
) -> Tensor:
    """The labels of an image [num_labels], from the logits [1, num_labels] of an encoder and the
    given ones.
    """
    if G.labels is None:
        return image.new_zeros(0)
    row = image.new_zeros(len(G.labels.names))
    if logits is not None and G.labels.kind == "attributes":
        row = (logits[0] > 0).to(row)
    elif logits is not None and not labels:
        row[logits[0].argmax()] = 1
    for index, value in labels.items():
        row[index] = value
    return row


def _search(
    G: Generator, image: Tensor, start: Tensor, labels: Tensor, restarts: int, iterations: int
) -> Tensor:
    """The best of the minima from a start u and, unless that is good, from random ones."""
    best, energy = most_probable(G, image, start, labels, iterations)
    made = G(torch.cat([from_gaussian(best, G.latent), labels])[None])
    if psnr(image[None], made).item() >= _FOUND_DB:
        return best
    seeds = range(_FIRST_RESTART, _FIRST_RESTART + restarts)
    for u in noise_from_seeds(seeds, G.latent_dim, "normal").to(image):
        found, found_energy = most_probable(G, image, u, labels, iterations)
        if found_energy < energy:
            best, energy = found, found_energy
    return best
