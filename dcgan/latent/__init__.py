"""The latent space: noise from seeds, labels, and paths between latent vectors."""

from dcgan.latent.arithmetic import add_and_subtract, neighbours, to_typical
from dcgan.latent.interpolation import interpolation_for, lerp, slerp, uniform_slerp
from dcgan.latent.labels import Labels
from dcgan.latent.noise import noise_from_seeds, sample_noise, truncate
from dcgan.latent.walks import walk, walk_in_blocks

__all__ = [
    "Labels",
    "add_and_subtract",
    "interpolation_for",
    "lerp",
    "neighbours",
    "noise_from_seeds",
    "sample_noise",
    "slerp",
    "to_typical",
    "truncate",
    "uniform_slerp",
    "walk",
    "walk_in_blocks",
]
