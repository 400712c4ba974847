"""Trained networks in files for other people."""

from dcgan.export.networks import export_discriminator, export_generator

__all__ = ["export_discriminator", "export_generator"]
