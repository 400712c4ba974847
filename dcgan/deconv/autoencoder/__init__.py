"""Denoising autoencoders (Vincent et al. 2008, 2010): a discriminator's blocks as encoder, a
generator as decoder.
"""

from dcgan.deconv.autoencoder.applying import apply, denoise
from dcgan.deconv.autoencoder.corruption import corrupt_images
from dcgan.deconv.autoencoder.evaluation import Comparison, table
from dcgan.deconv.autoencoder.loading import load_autoencoder
from dcgan.deconv.autoencoder.network import DenoisingAutoencoder
from dcgan.deconv.autoencoder.reporting import evaluate
from dcgan.deconv.autoencoder.training import train

__all__ = [
    "Comparison",
    "DenoisingAutoencoder",
    "apply",
    "corrupt_images",
    "denoise",
    "evaluate",
    "load_autoencoder",
    "table",
    "train",
]
