"""Exploring the latent space of a generator: what each command draws from seeds and photos."""

from dcgan.explore.arithmetic import Operand, Sum, arithmetic, draw_arithmetic
from dcgan.explore.walk import save_walk, stops_from_seeds, walk_frames

__all__ = [
    "Operand",
    "Sum",
    "arithmetic",
    "draw_arithmetic",
    "save_walk",
    "stops_from_seeds",
    "walk_frames",
]
