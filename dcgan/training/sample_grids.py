"""The images of a run's sample grids."""

import numpy as np
from torch import Tensor

from dcgan import images, sampling
from dcgan.data import PackedImages, row_reader
from dcgan.networks import Generator

GRID_SEEDS = range(64)  # the same in every grid, so that grids compare along a run


def grid_of_real_images(packed: PackedImages) -> np.ndarray:
    """The first images of a data set, as many as a sample grid has: uint8 [H, W, C]."""
    first = np.arange(min(len(packed), len(GRID_SEEDS)))
    return images.make_grid(row_reader(packed.images)(first))


def latents_of_grid(G: Generator) -> Tensor:
    """The latents of GRID_SEEDS, [N, latent_dim (+ num_labels)] on G's device."""
    return sampling.latents_from_seeds(G, GRID_SEEDS).to(next(G.parameters()).device)
