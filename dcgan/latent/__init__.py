"""The latent space: noise from seeds, labels, paths between latent vectors, and directions."""

from dcgan.latent.arithmetic import add_and_subtract, neighbours, to_typical
from dcgan.latent.directions import (
    direction_from_examples,
    linear_scores,
    move,
    orthogonalized,
    pca_directions,
    sefa,
    turn_vector,
    unit,
)
from dcgan.latent.edits import edit
from dcgan.latent.encoder_training import train_encoder
from dcgan.latent.interpolation import interpolation_for, lerp, slerp, uniform_slerp
from dcgan.latent.inversion import Inversion, feature_distance, invert, psnr
from dcgan.latent.label_names import LabelNames
from dcgan.latent.labels import Labels
from dcgan.latent.noise import noise_from_seeds, sample_noise, truncate
from dcgan.latent.walks import walk, walk_in_blocks

__all__ = [
    "Inversion",
    "LabelNames",
    "Labels",
    "add_and_subtract",
    "direction_from_examples",
    "edit",
    "feature_distance",
    "interpolation_for",
    "invert",
    "lerp",
    "linear_scores",
    "move",
    "neighbours",
    "noise_from_seeds",
    "orthogonalized",
    "pca_directions",
    "psnr",
    "sample_noise",
    "sefa",
    "slerp",
    "to_typical",
    "train_encoder",
    "truncate",
    "turn_vector",
    "uniform_slerp",
    "unit",
    "walk",
    "walk_in_blocks",
]
