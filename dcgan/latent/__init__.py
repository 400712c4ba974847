"""The latent space: noise from seeds, labels, and paths between latent vectors."""

from dcgan.latent.encoder_training import train_encoder
from dcgan.latent.interpolation import lerp, slerp, walk
from dcgan.latent.inversion import Inversion, feature_distance, invert, psnr
from dcgan.latent.labels import Labels
from dcgan.latent.noise import noise_from_seeds, sample_noise, truncate

__all__ = [
    "Inversion",
    "Labels",
    "feature_distance",
    "invert",
    "lerp",
    "noise_from_seeds",
    "psnr",
    "sample_noise",
    "slerp",
    "train_encoder",
    "truncate",
    "walk",
]
