"""Changes of the kernels that read a generator's feature maps; the results are generators too."""

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


def shuffle_change(G: Generator, changed: Generator, seed: int) -> Generator:
    """A copy of G whose kernels differ from G's as those of `changed` do, but at maps in a random
    order: a change of the same size that knows nothing of the object.
    """
    shuffled = copy.deepcopy(G)
    with torch.no_grad():
        for kernel, other in zip(kernels(shuffled), kernels(changed), strict=True):
            kernel += (other - kernel)[random_order(len(kernel), seed)]
    return shuffled


def random_order(count: int, seed: int) -> Tensor:
    """The numbers below `count` in a random order, on the CPU."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def kernels(G: Generator) -> list[Tensor]:
    """The weights [C, C', k, k] of G's convolutions that read feature maps, from layer 1 up."""
    return [_kernel(G, reader(G, layer)) for layer in range(1, hidden_layers(G) + 1)]


def _kernel(G: Generator, place: int) -> Tensor:
    """The weight of a convolution."""
    kernel = G.layers[place].weight
    assert isinstance(kernel, Tensor)
    return kernel
