"""3-D max pooling of feature maps with switches, and unpooling (Zeiler et al. 2011).

A region spans `extent` x `extent` positions of `maps` adjacent maps. Its value of largest magnitude
is kept with its sign, and the switch tells its place. Regions do not overlap; those at the borders
may be incomplete.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from dcgan.deconv.sparse_coding.checks import check_count
from dcgan.errors import UsageError


@dataclass(frozen=True)
class Pool:
    """The extent of the regions."""

    maps: int = 2
    extent: int = 2

    def __post_init__(self) -> None:
        check_count("maps", self.maps)
        check_count("extent", self.extent)


@dataclass(frozen=True, eq=False)
class Switches:
    """Where the values of a pooling lay."""

    places: Tensor
    """Number of the place within its region, by map, row and column: int64 [N, K', H', W']."""
    pool: Pool
    shape: tuple[int, int, int]
    """Of what was pooled: (K, H, W)."""

    def __getitem__(self, rows: slice) -> "Switches":
        return Switches(self.places[rows], self.pool, self.shape)


def pool_maps(x: Tensor, pool: Pool) -> tuple[Tensor, Switches]:
    """[N, K, H, W] -> the values of largest magnitude, [N, K', H', W'], and their switches.

    Of equal magnitudes, the first counts.
    """
    if x.dim() != 4:
        raise UsageError(f"pooling needs feature maps [N, K, H, W], not {list(x.shape)}")
    regions = _to_regions(x, pool)
    places = regions.abs().argmax(-1, keepdim=True)
    values = regions.gather(-1, places)[..., 0]
    return values, Switches(places[..., 0], pool, (x.shape[1], x.shape[2], x.shape[3]))


def unpool_maps(values: Tensor, switches: Switches) -> Tensor:
    """[N, K', H', W'] -> [N, K, H, W]: the values at their places, zeros elsewhere."""
    if values.shape != switches.places.shape:
        raise UsageError(
            f"unpooling with switches {list(switches.places.shape)} needs values of that shape, "
            f"not {list(values.shape)}"
        )
    pool = switches.pool
    regions = values.new_zeros(*values.shape, pool.maps * pool.extent**2)
    regions.scatter_(-1, switches.places[..., None], values[..., None])
    return _from_regions(regions, pool, switches.shape)


class Unpooling:
    """Unpooling by fixed switches as a linear map. Its adjoint reads the values at the places."""

    def __init__(self, switches: Switches):
        self.switches = switches

    def forward(self, x: Tensor) -> Tensor:
        return unpool_maps(x, self.switches)

    def adjoint(self, y: Tensor) -> Tensor:
        regions = _to_regions(y, self.switches.pool)
        return regions.gather(-1, self.switches.places[..., None])[..., 0]


def _to_regions(x: Tensor, pool: Pool) -> Tensor:
    """[N, K, H, W] -> [N, K', H', W', places], with zeros where a region is incomplete."""
    count, *shape = x.shape
    extents = (pool.maps, pool.extent, pool.extent)
    counts = [-(-side // extent) for side, extent in zip(shape, extents, strict=True)]
    missing = [n * e - side for n, e, side in zip(counts, extents, shape, strict=True)]
    padded = F.pad(x, (0, missing[2], 0, missing[1], 0, missing[0]))
    split = padded.reshape(
        *(count, counts[0], pool.maps, counts[1], pool.extent, counts[2], pool.extent)
    )
    return split.permute(0, 1, 3, 5, 2, 4, 6).flatten(4)


def _from_regions(regions: Tensor, pool: Pool, shape: tuple[int, int, int]) -> Tensor:
    """The inverse of `_to_regions`: [N, K', H', W', places] -> [N, K, H, W]."""
    count, *counts = regions.shape[:4]
    split = regions.unflatten(4, (pool.maps, pool.extent, pool.extent)).permute(0, 1, 4, 2, 5, 3, 6)
    whole = split.reshape(
        count, counts[0] * pool.maps, counts[1] * pool.extent, counts[2] * pool.extent
    )
    return whole[:, : shape[0], : shape[1], : shape[2]]
