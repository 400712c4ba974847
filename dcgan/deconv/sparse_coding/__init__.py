"""Convolutional sparse coding: filters and sparse feature maps that reconstruct images.

One layer (Zeiler et al. 2010), two (2010, and 2011 with pooling between them), and patches (UFLDL).
"""

from dcgan.deconv.sparse_coding.adaptive import PooledCodes, encode_pooled, learn_above_pool
from dcgan.deconv.sparse_coding.alternation import Learned
from dcgan.deconv.sparse_coding.contrast import Contrast, normalize_contrast
from dcgan.deconv.sparse_coding.denoising import add_noise, denoise, signal_to_noise
from dcgan.deconv.sparse_coding.encoding import Codes, encode, energy
from dcgan.deconv.sparse_coding.learning import learn_filters
from dcgan.deconv.sparse_coding.patches import Whitening, random_patches, whitening
from dcgan.deconv.sparse_coding.pooling import Pool, Switches, pool_maps, unpool_maps
from dcgan.deconv.sparse_coding.two_layers import (
    TwoLayerCodes,
    encode_two_layers,
    learn_second_layer,
    pair_connectivity,
    project_filters,
)

__all__ = [
    "Codes",
    "Contrast",
    "Learned",
    "Pool",
    "PooledCodes",
    "Switches",
    "TwoLayerCodes",
    "Whitening",
    "add_noise",
    "denoise",
    "encode",
    "encode_pooled",
    "encode_two_layers",
    "energy",
    "learn_above_pool",
    "learn_filters",
    "learn_second_layer",
    "normalize_contrast",
    "pair_connectivity",
    "pool_maps",
    "project_filters",
    "random_patches",
    "signal_to_noise",
    "unpool_maps",
    "whitening",
]
