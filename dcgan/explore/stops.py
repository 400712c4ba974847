"""The latents of seeds and photos."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from dcgan import sampling
from dcgan.config import SamplingOptions, Stop
from dcgan.config.validation import to_path
from dcgan.explore.inversion import invert_photos
from dcgan.networks import Generator


def latents_of_stops(G: Generator, stops: Sequence[Stop], options: SamplingOptions) -> Tensor:
    """The inputs of G for seeds and photos, in order: [N, latent_dim + num_labels] on the CPU.

    The truncation of `options` is of the seeds, the label of both; photos are inverted, see
    `invert_photos`. Raises as `sampling.latents_from_seeds` and `invert_photos` do.
    """
    stops = [to_path(stop) if isinstance(stop, str) else stop for stop in stops]
    photos = [stop for stop in stops if isinstance(stop, Path)]
    seeds = [stop for stop in stops if not isinstance(stop, Path)]
    of_seeds = iter(sampling.latents_from_seeds(G, seeds, options.truncation, options.label))
    of_photos = iter(invert_photos(G, None, photos, label=options.label).latents if photos else ())
    return torch.stack([next(of_photos if isinstance(stop, Path) else of_seeds) for stop in stops])
