"""A generator as the numbers that a page computes with: a JSON header and one block of bytes.

An array in the block is described by its first byte and its number of elements. Convolutions are
float16, the factor and offset of batch norm for each channel float32. The greatest weight of each
layer is scaled to between 2^14 and 2^15 by a power of two, so that none overflows and only those
that are smaller by 2^28 lose digits. Weights that are float16 already stay exact.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dcgan.explore.directions_file import Directions
from dcgan.networks import Generator
from dcgan.networks.layers import LatentProjection, StridedConvTranspose2d

_ALIGNMENT = 8  # bytes, of the widest type
_HALF_EXPONENT = 14


def page_model(G: Generator, directions: Directions) -> tuple[dict[str, Any], bytes]:
    """The header and the block of bytes of a generator in evaluation mode, for export/page/."""
    block = _Block()
    layers = []
    for layer, following in zip(G.layers, [*G.layers[1:], None], strict=True):
        if isinstance(layer, LatentProjection | StridedConvTranspose2d):
            weights, factor = _halves(layer.weight)
            scale, shift = _batch_norm(following, layer.weight.shape[1])
            layers.append(
                {
                    "inputs": layer.weight.shape[0],
                    "outputs": layer.weight.shape[1],
                    "kernel": layer.weight.shape[2],
                    "weights": block.add(weights),
                    "scale": block.add((scale / factor).astype(np.float32)),
                    "shift": block.add(shift.astype(np.float32)),
                }
            )
    header = {
        "size": G.size,
        "channels": G.channels,
        "latent": G.latent,
        "latentDim": G.latent_dim,
        "layers": layers,
        "labels": _labels(G, block),
        "directions": {
            "names": list(directions.names),
            "steps": list(directions.steps),
            "vectors": block.add(directions.vectors.numpy().astype(np.float32)),
        },
    }
    return header, block.content()


class _Block:
    """Arrays one after another in little-endian bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, array: np.ndarray) -> dict[str, int]:
        """Append an array; -> where it stands."""
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        place = {"start": self._size, "count": array.size}
        self._parts.append(data + bytes(-len(data) % _ALIGNMENT))
        self._size += len(self._parts[-1])
        return place

    def content(self) -> bytes:
        return b"".join(self._parts)


def _halves(weight: Tensor) -> tuple[np.ndarray, float]:
    """The weights in float16 times a power of two, and this."""
    values = weight.detach().cpu().double().numpy()
    largest = np.abs(values).max()
    factor = 2.0 ** (_HALF_EXPONENT - math.floor(math.log2(largest))) if largest else 1.0
    return (values * factor).astype(np.float16), factor


def _batch_norm(norm: nn.Module | None, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """What batch norm multiplies each channel by, and adds: 1 and 0 where there is none."""
    if not isinstance(norm, nn.BatchNorm2d):
        return np.ones(channels), np.zeros(channels)
    assert norm.running_mean is not None and norm.running_var is not None
    tensors = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    weight, bias, mean, variance = (t.detach().cpu().double() for t in tensors)
    scale = weight / torch.sqrt(variance + norm.eps)
    return scale.numpy(), (bias - mean * scale).numpy()


def _labels(G: Generator, block: _Block) -> dict[str, Any] | None:
    if G.labels is None:
        return None
    rows = G.labels.rows
    return {
        **G.labels.header(),
        "counts": block.add(G.labels.counts),
        "rows": None if rows is None else block.add(rows),
        "rowBytes": 0 if rows is None else rows.shape[1],
    }
