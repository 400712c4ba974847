"""Exploring the latent space of a generator: what each command draws from seeds and photos."""

from dcgan.explore.arithmetic import Operand, Sum, arithmetic, draw_arithmetic
from dcgan.explore.canvas import draw_canvas, latent_grid
from dcgan.explore.encoder import load_encoder, obtain_encoder, save_encoder
from dcgan.explore.finding_classifier import find_classifier
from dcgan.explore.inversion import (
    invert_photos,
    load_discriminator_if_any,
    report_inversion,
)
from dcgan.explore.latents_file import load_latents, save_latents
from dcgan.explore.operands import read_operands
from dcgan.explore.photos import read_photos
from dcgan.explore.scoring import Scorer
from dcgan.explore.stops import latents_of_stops
from dcgan.explore.walk import latents_of_walk, save_walk, stops_from_seeds, walk_frames

__all__ = [
    "Operand",
    "Scorer",
    "Sum",
    "arithmetic",
    "draw_arithmetic",
    "draw_canvas",
    "find_classifier",
    "invert_photos",
    "latent_grid",
    "latents_of_stops",
    "latents_of_walk",
    "load_discriminator_if_any",
    "load_encoder",
    "load_latents",
    "obtain_encoder",
    "read_operands",
    "read_photos",
    "report_inversion",
    "save_encoder",
    "save_latents",
    "save_walk",
    "stops_from_seeds",
    "walk_frames",
]
