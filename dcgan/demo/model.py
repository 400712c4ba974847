"""The generator of the page, and what is computed once for all visitors."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan import images
from dcgan.explore.directions_file import Directions
from dcgan.explore.encoder import pretrained_encoder
from dcgan.networks import Encoder, Generator, fold_batch_norm
from dcgan.runtime.device import full_float32_precision


@dataclass(frozen=True, eq=False)
class Model:
    """A generator with the directions of its sliders and, if there is one, its encoder."""

    G: Generator
    name: str
    directions: Directions
    encoder: Encoder | None
    folded: Generator

    @torch.inference_mode()
    @full_float32_precision()
    def draw(self, z: Tensor) -> np.ndarray:
        """Inputs of G [N, latent_dim + num_labels] -> uint8 [N, S, S, C].

        Each picture is computed alone, which takes a fifth of the time that `make_renderer` takes
        for one, and makes it independent of the others. Pixel values differ from those of
        `dcgan sample` by rounding at most.
        """
        device = next(self.folded.parameters()).device
        rows = [images.to_uint8(self.folded(row)) for row in z.to(device).split(1)]
        return torch.cat(rows).cpu().numpy()


def make_model(G: Generator, name: str, directions: Directions) -> Model:
    """A model with the encoder that comes with the package, where it is of this generator."""
    return Model(G, name, directions, pretrained_encoder(G), fold_batch_norm(G))
