"""What the commands that explore the latent space do with a generator: figures and files."""

from dcgan.explore.encoder import load_encoder, obtain_encoder, save_encoder
from dcgan.explore.inversion import invert_photos, load_discriminator_if_any, report_inversion
from dcgan.explore.latents_file import load_latents, save_latents
from dcgan.explore.photos import read_photos

__all__ = [
    "invert_photos",
    "load_discriminator_if_any",
    "load_encoder",
    "load_latents",
    "obtain_encoder",
    "read_photos",
    "report_inversion",
    "save_encoder",
    "save_latents",
]
