"""The derivative of a generator's image with respect to its latent vector."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dcgan.networks.generator import Generator
from dcgan.networks.layers import LatentProjection, StridedConvTranspose2d

_MAX_PASS_PIXELS = 2**18  # of the images that one pass through the layers makes


@torch.no_grad()
def image_and_jacobian(G: Generator, z: Tensor) -> tuple[Tensor, Tensor]:
    """The image of one input of G, and its derivatives with respect to the latent vector.

    G: a folded generator, see `fold_batch_norm`. z: [latent_dim + num_labels] -> image [C, S, S]
    and Jacobian [latent_dim, C, S, S]; labels are constants.

    Forward-mode differentiation: the unit vectors of the latent space go through the layers as a
    batch. Convolutions are linear, biases have no derivative, and an activation multiplies by its
    slope at the image. The passes depend on G alone, so that equal inputs give equal bits.
    """
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in G.layers), "G must be folded"
    slopes = []  # of each activation, in order
    x = z[None, :, None, None]
    for layer in G.layers:
        if isinstance(layer, nn.ReLU):
            slopes.append(x > 0)
        x = layer(x)
        if isinstance(layer, nn.Tanh):
            slopes.append(1 - x.square())
    units = torch.eye(len(z), device=z.device, dtype=z.dtype)[: G.latent_dim, :, None, None]
    passes = units.split(max(_MAX_PASS_PIXELS // G.size**2, 1))
    return x[0], torch.cat([_push_forward(G, tangents, iter(slopes)) for tangents in passes])


def _push_forward(G: Generator, tangents: Tensor, slopes: Iterator[Tensor]) -> Tensor:
    """Directional derivatives [n, C, S, S] of the image in the directions `tangents`."""
    for layer in G.layers:
        if isinstance(layer, nn.ReLU | nn.Tanh):
            tangents = tangents * next(slopes)
        elif isinstance(layer, LatentProjection | StridedConvTranspose2d):
            no_bias = {} if layer.bias is None else {"bias": torch.zeros_like(layer.bias)}
            tangents = functional_call(layer, no_bias, tangents)
    return tangents
