"""Generator, discriminator, their layers, and the ways to compute stride-2 convolutions."""

from dcgan.networks.batch_norm import (
    fold_batch_norm,
    recalibrate,
    running_statistics,
    running_statistics_paused,
)
from dcgan.networks.building import build_network, build_networks
from dcgan.networks.classifier import Classifier
from dcgan.networks.discriminator import Discriminator
from dcgan.networks.encoder import Encoder, encoder_options
from dcgan.networks.evaluation_mode import evaluating
from dcgan.networks.generator import Generator
from dcgan.networks.initialization import INITIAL_STD
from dcgan.networks.jacobian import image_and_jacobian
from dcgan.networks.layers import StridedConv2d, StridedConvTranspose2d, WindowScore
from dcgan.networks.linear_operator import LinearOperator
from dcgan.networks.weights_hash import weights_hash

__all__ = [
    "INITIAL_STD",
    "Classifier",
    "Discriminator",
    "Encoder",
    "Generator",
    "LinearOperator",
    "StridedConv2d",
    "StridedConvTranspose2d",
    "WindowScore",
    "build_network",
    "build_networks",
    "encoder_options",
    "evaluating",
    "fold_batch_norm",
    "image_and_jacobian",
    "recalibrate",
    "running_statistics",
    "running_statistics_paused",
    "weights_hash",
]
