"""The latents of seeds and photos."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from dcgan import sampling
from dcgan.config import SamplingOptions, Stop
from dcgan.networks import Generator


def latents_of_stops(
    G: Generator,
    stops: Sequence[Stop],
    invert: Callable[[Sequence[Path]], Tensor],
    options: SamplingOptions,
) -> Tensor:
    """The inputs of G for seeds and photos, in order: [N, latent_dim + num_labels] on the CPU.

    `invert` finds those of photos, see `photo_inverter`; the truncation and the label of `options`
    are of the seeds.
    """
    seeds = [stop for stop in stops if isinstance(stop, int)]
    photos = [stop for stop in stops if isinstance(stop, Path)]
    of_seeds = iter(sampling.latents_from_seeds(G, seeds, options.truncation, options.label))
    of_photos = iter(invert(photos) if photos else ())
    return torch.stack([next(of_seeds if isinstance(stop, int) else of_photos) for stop in stops])
