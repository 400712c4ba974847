"""A generator as an ONNX model, for ONNX Runtime and the many programs that read this format."""

import contextlib
import io
import json
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import dcgan
from dcgan.errors import UserError
from dcgan.networks import Generator
from dcgan.networks.layers import LatentProjection
from dcgan.networks.strided_convolution import torch_convolutions
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.disk import check_free_space

if TYPE_CHECKING:
    import onnx

OPSET = 18  # the one that PyTorch's exporter is written for; in ONNX since 1.13
_IR_VERSION = 10  # in ONNX since 1.16: later ones need newer runtimes
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
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
    if missing := [package for package in _PACKAGES if find_spec(package) is None]:
        raise UserError(
            f'--to onnx needs {", ".join(missing)}: install them by pip install "dcgan[onnx]"'
        )
    model = _trace(G)
    _clean(model, name, metadata(G))
    content = model.SerializeToString()
    _check(G, content)
    check_free_space(out, len(content))
    with replace_atomically(out) as partial:
        partial.write_bytes(content)


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
    with torch_convolutions(), torch.no_grad(), _quiet():
        program = torch.onnx.export(
            _OnnxGenerator(G).eval(),
            inputs,
            input_names=names,
            output_names=["images"],
            dynamic_shapes=(axes,) * len(inputs),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's reports of progress and warnings about itself."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _clean(model: "onnx.ModelProto", name: str, entries: dict[str, str]) -> None:
    """Give the model its metadata, and take out those of the exporter, which name source files."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    del model.metadata_props[:], model.functions[:]
    graph.name, model.ir_version = name, _IR_VERSION
    model.producer_name, model.producer_version = "dcgan", dcgan.__version__
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)


def _check(G: Generator, content: bytes) -> None:
    """Raise UserError where the images of ONNX Runtime are not G's."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(content, options, providers)
        for grid in _CHECKED:
            inputs = _inputs(G, *grid)
            feeds = {name: x.numpy() for name, x in zip(("z", "labels"), inputs, strict=False)}
            (images,) = session.run(["images"], feeds)
            with torch.inference_mode():
                expected = G(torch.cat(inputs, 1)).numpy()
            same_shape = images.shape == expected.shape
            if not (same_shape and np.abs(images - expected).max() <= _MAX_DIFFERENCE):
                raise UserError(
                    f"ONNX Runtime {onnxruntime.__version__} computes other images of latents "
                    f"{list(inputs[0].shape)} than PyTorch: nothing is written"
                )
    except UserError:
        raise
    except Exception as error:  # its own classes have no common base
        raise UserError(f"ONNX Runtime cannot run the exported model: {error}") from error
