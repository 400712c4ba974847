"""The latent space: noise from seeds, labels, and paths between latent vectors."""

from dcgan.latent.interpolation import lerp, slerp, walk
from dcgan.latent.labels import Labels
from dcgan.latent.noise import noise_from_seeds, sample_noise, truncate

__all__ = [
    "Labels",
    "lerp",
    "noise_from_seeds",
    "sample_noise",
    "slerp",
    "truncate",
    "walk",
]
