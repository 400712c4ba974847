"""The latent space: noise from seeds, labels, paths between latent vectors, and directions."""

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
from dcgan.latent.interpolation import lerp, slerp, walk
from dcgan.latent.labels import Labels
from dcgan.latent.noise import noise_from_seeds, sample_noise, truncate

__all__ = [
    "Labels",
    "direction_from_examples",
    "edit",
    "lerp",
    "linear_scores",
    "move",
    "noise_from_seeds",
    "orthogonalized",
    "pca_directions",
    "sample_noise",
    "sefa",
    "slerp",
    "truncate",
    "turn_vector",
    "unit",
    "walk",
]
