"""The latent space: noise from seeds, labels, and paths between latent vectors."""

from dcgan.latent.arithmetic import add_and_subtract, neighbours, to_typical
from dcgan.latent.interpolation import lerp, slerp, walk
from dcgan.latent.labels import Labels
from dcgan.latent.noise import noise_from_seeds, sample_noise, truncate

__all__ = [
    "Labels",
    "add_and_subtract",
    "lerp",
    "neighbours",
    "noise_from_seeds",
    "sample_noise",
    "slerp",
    "to_typical",
    "truncate",
    "walk",
]
