"""The feature maps of a generator's layers."""

import numpy as np
import torch
from torch import Tensor

from dcgan import images
from dcgan.deconv.visualize.layers import Layer, open_layer
from dcgan.deconv.visualize.tracing import to_network
from dcgan.networks import Generator, evaluating
from dcgan.sampling import check_generator, latents_from_seeds


def open_generator_layer(G: Generator, layer: str | int | None) -> Layer:
    """A layer of G, see `open_layer`; its inputs are latents [N, D]."""
    check_generator(G)
    return open_layer(G, layer, tuple(latents_from_seeds(G, [0]).shape[1:]))


def feature_maps(layer: Layer, seeds: list[int]) -> tuple[np.ndarray, Tensor]:
    """The images of seeds, uint8 [N, S, S, C'], and the maps of a layer for them, [N, C, h, w]."""
    G = layer.network
    assert isinstance(G, Generator)
    drawn, maps = [], []
    for seed in seeds:  # one by one, so that a picture does not depend on the others
        z = to_network(latents_from_seeds(G, [seed]), G)
        maps.append(layer.maps(z).cpu())
        with evaluating(G), torch.no_grad():
            drawn.append(images.to_uint8(G(z)).cpu().numpy())
    return np.concatenate(drawn), torch.cat(maps)
