"""Generator, discriminator, their layers, and the ways to compute stride-2 convolutions."""

from dcgan.networks.batch_norm import fold_batch_norm, recalibrate, running_statistics_paused
from dcgan.networks.building import build_network, build_networks
from dcgan.networks.classifier import Classifier
from dcgan.networks.discriminator import Discriminator
from dcgan.networks.generator import Generator
from dcgan.networks.initialization import INITIAL_STD
from dcgan.networks.layers import StridedConv2d, StridedConvTranspose2d
from dcgan.networks.linear_operator import LinearOperator

__all__ = [
    "INITIAL_STD",
    "Classifier",
    "Discriminator",
    "Generator",
    "LinearOperator",
    "StridedConv2d",
    "StridedConvTranspose2d",
    "build_network",
    "build_networks",
    "fold_batch_norm",
    "recalibrate",
    "running_statistics_paused",
]
