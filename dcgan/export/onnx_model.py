"""A generator as an ONNX model, for ONNX Runtime and the many programs that read this format."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan.export.onnx_files import describe, require_onnx, trace, write_checked
from dcgan.networks import Generator
from dcgan.networks.layers import LatentProjection

if TYPE_CHECKING:
    import onnx

_TRACED = (2, 2, 3)  # batch size, height and width of the latent grid
_CHECKED = ((1, 1, 1), (3, 1, 1), (5, 1, 1), (1, 4, 2), (2, 3, 5))
_MAX_DIFFERENCE = 1e-3  # in [-1, 1]: an eighth of the step between two pixel values

_SEEDS = {
    "normal": "z of seed s is NumPy's default_rng(s).standard_normal(latent_dim, dtype=float32)",
    "uniform": "z of seed s is 2 * NumPy's default_rng(s).random(latent_dim, dtype=float32) - 1",
}
_DISTRIBUTIONS = {"normal": "normal, mean 0, variance 1", "uniform": "uniform on [-1, 1]"}
_CLASS_OF_SEEDS = (
    "; its class, unless you choose one, is the first whose cumulative label_counts are above "
    "default_rng([s, 1]).integers(sum of label_counts)"
)
_ATTRIBUTES_OF_SEEDS = (
    "; choose its labels: those that dcgan sample gives it follow from the training images"
)


class _OnnxGenerator(nn.Module):
    """G with plain operators, for grids of latents of all sizes."""

    def __init__(self, G: Generator):
        super().__init__()
        self.layers = G.layers

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = z if labels is None else torch.cat([z, labels], 1)
        for layer in self.layers:
            if isinstance(layer, LatentProjection):  # which itself asks for the sides of the grid
                x = F.conv_transpose2d(x, layer.weight)
            else:
                x = layer(x)
        return x


def export_onnx(G: Generator, out: Path, name: str = "generator") -> None:
    """Write G, in evaluation mode on the CPU, as an ONNX model that ONNX Runtime agrees with.

    Inputs: `z`, float32 [batch, latent_dim, height, width], and of a conditional G `labels`,
    [batch, num_labels, height, width]; a single picture has height = width = 1, grids give one
    large picture, see `Generator`. Output: `images`, [batch, channels, H, W] in [-1, 1]. The
    model's metadata say how to use it. Raises UserError without the packages of the extra `onnx`,
    if writing fails, and where ONNX Runtime's images differ from PyTorch's.
    """
    require_onnx("--to onnx")
    model = _trace(G)
    describe(model, name, metadata(G))
    write_checked(model, out, _examples(G), _MAX_DIFFERENCE)


def metadata(G: Generator) -> dict[str, str]:
    """What the metadata_props of the model say, by their names."""
    entries = {
        "latent_dim": str(G.latent_dim),
        "latent_distribution": _DISTRIBUTIONS[G.latent],
        "image_range": "[-1, 1]: pixel = round((x + 1) * 127.5)",
        "image_size": str(G.size),
        "seed_rule": _SEEDS[G.latent],
    }
    if G.labels is None:
        return entries
    entries["labels"] = json.dumps(list(G.labels.names))
    if G.labels.kind == "attributes":
        entries["label_kind"] = "attributes: any number of the labels are 1, the others 0"
        entries["seed_rule"] += _ATTRIBUTES_OF_SEEDS
    else:
        entries["label_kind"] = "class: one of the labels is 1, the others are 0"
        entries["seed_rule"] += _CLASS_OF_SEEDS
        entries["label_counts"] = json.dumps(G.labels.counts.tolist())
    return entries


def _inputs(G: Generator, batch: int, height: int, width: int) -> tuple[Tensor, ...]:
    """Latents and labels of a grid, random but the same at every call."""
    rng = np.random.default_rng([batch, height, width])
    z = rng.uniform(-1, 1, (batch, G.latent_dim, height, width)).astype(np.float32)
    if G.labels is None:
        return (torch.from_numpy(z),)
    labels = rng.integers(2, size=(batch, len(G.labels.names), height, width)).astype(np.float32)
    return torch.from_numpy(z), torch.from_numpy(labels)


def _trace(G: Generator) -> "onnx.ModelProto":
    inputs = _inputs(G, *_TRACED)
    names = ["z", "labels"][: len(inputs)]
    batch, height, width = (torch.export.Dim(name) for name in ("batch", "height", "width"))
    axes = {0: batch, 2: height, 3: width}
    return trace(_OnnxGenerator(G), inputs, names, "images", (axes,) * len(inputs))


def _examples(G: Generator) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Inputs by name, and G's images of them."""
    for grid in _CHECKED:
        inputs = _inputs(G, *grid)
        with torch.inference_mode():
            images = G(torch.cat(inputs, 1))
        yield dict(zip(("z", "labels"), inputs, strict=False)), images
