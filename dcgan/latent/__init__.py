"""The latent space: noise from seeds, labels, and paths between latent vectors."""

from dcgan.latent.arithmetic import add_and_subtract, neighbours, to_typical
from dcgan.latent.encoder_training import train_encoder
from dcgan.latent.interpolation import interpolation_for, lerp, slerp, uniform_slerp
from dcgan.latent.inversion import Inversion, feature_distance, invert, psnr
from dcgan.latent.labels import Labels
from dcgan.latent.noise import noise_from_seeds, sample_noise, truncate
from dcgan.latent.walks import walk, walk_in_blocks

__all__ = [
    "Inversion",
    "Labels",
    "add_and_subtract",
    "feature_distance",
    "interpolation_for",
    "invert",
    "lerp",
    "neighbours",
    "noise_from_seeds",
    "psnr",
    "sample_noise",
    "slerp",
    "to_typical",
    "train_encoder",
    "truncate",
    "uniform_slerp",
    "walk",
    "walk_in_blocks",
]
