"""Two layers: the second reconstructs the maps of the first (Zeiler et al. 2010)."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from dcgan.config.sparse import SparseConfig
from dcgan.deconv.sparse_coding.alternation import Learned
from dcgan.deconv.sparse_coding.checks import check_count, check_images
from dcgan.deconv.sparse_coding.encoding import (
    ITERATIONS,
    TOLERANCE,
    Codes,
    batches,
    check_problem,
    encode,
    join,
)
from dcgan.deconv.sparse_coding.fista import minimize
from dcgan.deconv.sparse_coding.learning import learn_filters
from dcgan.deconv.sparse_coding.operators import Chain, Synthesis
from dcgan.deconv.sparse_coding.penalties import PowerPenalty
from dcgan.errors import UsageError
from dcgan.runtime.device import full_float32_precision


@dataclass(frozen=True, eq=False)
class TwoLayerCodes:
    """The codes of both layers."""

    lower: Codes
    """Of the images by the first layer."""
    upper: Codes
    """Maps of the second layer, and the images that they give through both layers. The energies are
    those of the last stage, whose error is that of the images."""


def pair_connectivity(maps: int) -> Tensor:
    """Which maps of the first layer each map of the second is connected to: one, or two.

    bool [maps + maps (maps - 1) / 2, maps]: a row for each single map, then one for each pair:
    45 maps above 9. Raises UsageError for no maps.
    """
    check_count("maps", maps)
    rows = [(k,) for k in range(maps)] + list(combinations(range(maps), 2))
    connectivity = torch.zeros(len(rows), maps, dtype=torch.bool)
    for row, connected in enumerate(rows):
        connectivity[row, list(connected)] = True
    return connectivity


def learn_second_layer(
    lower_maps: Tensor,
    size: int = SparseConfig.size,
    weight: float = SparseConfig.weight,
    p: float = SparseConfig.p,
    rounds: int = SparseConfig.rounds,
    seed: int = SparseConfig.seed,
    on_round: Callable[[], object] = lambda: None,
) -> Learned:
    """Learn filters above the maps [N, K, H, W] of a first layer, by `pair_connectivity`.

    Raises UsageError as `learn_filters` does.
    """
    lower_maps = check_images(lower_maps, "maps")
    connectivity = pair_connectivity(lower_maps.shape[1])
    return learn_filters(
        *(lower_maps, len(connectivity), size, weight, p, rounds, seed, connectivity),
        on_round=on_round,
    )


@torch.no_grad()
@full_float32_precision()
def encode_two_layers(
    images: Tensor,
    lower_filters: Tensor,
    upper_filters: Tensor,
    weight: float = SparseConfig.weight,
    upper_weight: float = SparseConfig.weight,
    p: float = SparseConfig.p,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
) -> TwoLayerCodes:
    """Codes of images [N, C, H, W] by filters [K, C, h, w] and [L, K, h', w'] above them.

    The layers are inferred one after the other, each from the maps below. Then the maps of the
    second are improved once more for the error of the images, which counts by `weight`. Raises
    UsageError as `encode` does.
    """
    if upper_filters.dim() != 4 or upper_filters.shape[1] != len(lower_filters):
        raise UsageError(
            f"the second layer needs filters [L, {len(lower_filters)}, h, w], "
            f"not {list(upper_filters.shape)}"
        )
    images, lower_filters, _ = check_problem(images, lower_filters, weight, p, None)
    upper_filters = upper_filters.to(lower_filters)
    lower = encode(images, lower_filters, weight, p, iterations, tolerance)
    upper = encode(lower.maps, upper_filters, upper_weight, p, iterations, tolerance)
    layers = Synthesis(lower_filters), Synthesis(upper_filters)
    bound = layers[0].bound(images.shape[2:]) * layers[1].bound(lower.maps.shape[2:])
    chain, penalty = Chain(*layers), PowerPenalty(p)
    found = [
        minimize(
            *(chain, images[rows], upper.maps[rows], penalty, weight, bound, iterations, tolerance)
        )
        for rows in batches(tuple(upper.maps.shape))
    ]
    return TwoLayerCodes(lower, join(found))


def project_filters(lower_filters: Tensor, upper_filters: Tensor) -> Tensor:
    """Filters of the second layer as images of their own: [L, C, h + h' - 1, w + w' - 1]."""
    return Synthesis(lower_filters, padding=0).forward(upper_filters)
