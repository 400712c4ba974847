"""Trained networks in files for other people."""

from dcgan.export.networks import export_discriminator, export_generator
from dcgan.export.pytorch_example import export_to_pytorch_example

__all__ = ["export_discriminator", "export_generator", "export_to_pytorch_example"]
