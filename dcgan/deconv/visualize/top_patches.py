"""The images of a data set that each unit of a layer responds to most."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan import images as pixels
from dcgan.deconv.visualize.layers import Layer
from dcgan.deconv.visualize.projection import batches, strongest_positions
from dcgan.deconv.visualize.tracing import to_network
from dcgan.errors import UsageError, UserError
from dcgan.runtime.progress import progress_bar


@dataclass(frozen=True, eq=False)
class TopPatches:
    """For each of C units its k strongest responses, each in another image, strongest first.

    `values` [C, k]; `images` [C, k] are indices into the data; `positions` [C, k, 2] (row, column)
    on the maps. `mean` and `deviation` [C] of the strongest responses of all images.
    """

    values: Tensor
    images: Tensor
    positions: Tensor
    mean: Tensor
    deviation: Tensor

    def standing_out(self, count: int) -> list[int]:
        """The units whose strongest responses exceed their mean by most standard deviations, in
        rising order. Units that respond to no image, or to all alike, come last.
        """
        excess = (self.values.mean(1) - self.mean) / self.deviation
        varying = (self.deviation > 0) & (self.values[:, 0] > 0)
        excess = torch.where(varying, excess, -torch.inf)
        order = torch.argsort(excess, descending=True, stable=True)
        return sorted(order[:count].tolist())


def find_top_patches(
    layer: Layer, images: np.ndarray, count: int, indices: Sequence[int] | None = None
) -> TopPatches:
    """The `count` images that each unit of a layer responds to most, and where.

    images: uint8 [N, H, W, C], which may be memory-mapped: they are read in batches, and only the
    strongest responses so far are kept. `indices`: the images to search, in rising order; all by
    default. Of equal responses the first counts. Raises UsageError for fewer images than `count`,
    and UserError for responses that are not finite.
    """
    chosen = np.arange(len(images)) if indices is None else np.asarray(indices)
    if len(chosen) < count:
        raise UsageError(f"--top {count}: only {len(chosen)} images are searched")
    best: tuple[Tensor, Tensor, Tensor] | None = None
    total = squares = torch.zeros(layer.shape[0], dtype=torch.float64)
    with progress_bar(len(chosen), "searching", "image", delay=2) as bar:
        for part in batches(len(chosen), *images.shape[1:3]):
            numbers = chosen[part]
            x = to_network(pixels.to_float(torch.from_numpy(images[numbers])), layer.network)
            values, positions = strongest_positions(layer.maps(x))
            values, positions = values.cpu().float(), positions.cpu()
            if not values.isfinite().all():
                raise UserError(f"layer {layer.title} has responses that are not finite")
            total = total + values.double().sum(0)
            squares = squares + values.double().square().sum(0)
            where = torch.from_numpy(numbers)[:, None].expand_as(values)
            if best is not None:
                values, where = torch.cat([best[0], values]), torch.cat([best[1], where])
                positions = torch.cat([best[2], positions])
            best = _strongest(values, where, positions, count)
            bar.update(len(numbers))
    assert best is not None
    mean = total / len(chosen)
    variance = (squares / len(chosen) - mean.square()).clamp(min=0)
    # Of equal values rounding leaves some 1e-16 of their squares.
    variance[variance < 1e-12 * squares / len(chosen)] = 0
    values, where, positions = (kept.transpose(0, 1) for kept in best)
    return TopPatches(values, where, positions, mean, variance.sqrt())


def _strongest(
    values: Tensor, where: Tensor, positions: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The first `count` rows of each unit's column, by falling value; earlier ones of equal."""
    order = torch.sort(values, dim=0, descending=True, stable=True).indices[:count]
    return (
        values.gather(0, order),
        where.gather(0, order),
        positions.gather(0, order[..., None].expand(-1, -1, 2)),
    )
