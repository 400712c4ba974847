"""Generators without some of their feature maps, or without a direction in the space of maps.

Both are changes of the kernel that reads the maps, so that the results are generators like others.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from dcgan.errors import UsageError
from dcgan.networks import Generator
from dcgan.sampling import check_generator

_LAYERS_EACH = 3  # a convolution, batch norm and a rectifier


def hidden_layers(G: Generator) -> int:
    """The number of G's layers with feature maps, all but the one that draws the image.

    Raises UsageError unless G is a generator.
    """
    check_generator(G)
    return (len(G.layers) - 2) // _LAYERS_EACH


def default_layer(G: Generator) -> int:
    """The second highest layer with feature maps (Radford et al. 2015), from 1 at the latents."""
    return max(hidden_layers(G) - 1, 1)


def map_count(G: Generator, layer: int) -> int:
    """The number of maps of a layer. Raises UsageError unless G has such a layer."""
    return len(_kernel(G, reader(G, layer)))


def reader(G: Generator, layer: int) -> int:
    """The place in G's layers of the convolution that reads the maps of `layer`, from 1.

    Raises UsageError unless G has such a layer with feature maps.
    """
    most = hidden_layers(G)
    if not 1 <= layer <= most:
        raise UsageError(f"--layer must be from 1 to {most}, the layers with maps, not {layer}")
    return _LAYERS_EACH * layer


def drop_maps(G: Generator, layer: int, maps: Sequence[int]) -> Generator:
    """A copy of G in which these maps of a layer, after its rectifier, are 0 at all positions.

    layer: from 1, the maps of 4x4, to the last one below the image. Radford et al. 2015, section
    6.3.1. Raises UsageError for layers or maps that G does not have.
    """
    place, count = reader(G, layer), map_count(G, layer)
    if not all(0 <= each < count for each in maps):
        raise UsageError(f"layer {layer} has the maps 0 to {count - 1}, not {list(maps)}")
    copied = copy.deepcopy(G)
    with torch.no_grad():
        _kernel(copied, place)[list(maps)] = 0
    return copied


def erase_direction(G: Generator, layer: int, reads: Tensor, removes: Tensor) -> Generator:
    """A copy of G in which the maps x of a layer become x - (reads · x) removes at all positions.

    reads, removes: [C], for the C maps. The kernel of the next layer changes by a matrix of rank
    one. Raises UsageError for layers that G does not have and vectors of another length.
    """
    place, count = reader(G, layer), map_count(G, layer)
    if reads.shape != (count,) or removes.shape != (count,):
        raise UsageError(f"layer {layer} has {count} maps, so both vectors must have that length")
    copied = copy.deepcopy(G)
    kernel = _kernel(copied, place)  # [C, C', k, k]
    with torch.no_grad():
        removed = torch.tensordot(removes.to(kernel), kernel, 1)
        kernel -= reads.to(kernel)[:, None, None, None] * removed
    return copied


def _kernel(G: Generator, place: int) -> Tensor:
    """The weight of a convolution."""
    kernel = G.layers[place].weight
    assert isinstance(kernel, Tensor)
    return kernel
