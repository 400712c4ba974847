"""ONNX files of any network: traced, described, compared with ONNX Runtime, written."""

import contextlib
import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

import dcgan
from dcgan.errors import UserError
from dcgan.networks.strided_convolution import torch_convolutions
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.disk import check_free_space

if TYPE_CHECKING:
    import onnx

OPSET = 18  # the one that PyTorch's exporter is written for; in ONNX since 1.13
_IR_VERSION = 10  # in ONNX since 1.16: later ones need newer runtimes
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def require_onnx(what: str) -> None:
    """Raise UserError "WHAT needs ..." without the packages of the extra `onnx`."""
    if missing := [package for package in _PACKAGES if find_spec(package) is None]:
        raise UserError(
            f'{what} needs {", ".join(missing)}: install them by pip install "dcgan[onnx]"'
        )


def trace(
    network: nn.Module,
    inputs: tuple[Tensor, ...],
    input_names: Sequence[str],
    output_name: str,
    dynamic_shapes: Any,
) -> "onnx.ModelProto":
    """A network in evaluation mode as an ONNX model with PyTorch's own convolutions."""
    with torch_convolutions(), torch.no_grad(), _quiet():
        program = torch.onnx.export(
            network.eval(),
            inputs,
            input_names=list(input_names),
            output_names=[output_name],
            dynamic_shapes=dynamic_shapes,
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


def describe(model: "onnx.ModelProto", name: str, entries: Mapping[str, str]) -> None:
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


def write_checked(
    model: "onnx.ModelProto",
    out: Path,
    examples: Iterable[tuple[Mapping[str, Tensor], Tensor]],
    max_difference: float,
) -> None:
    """Write a model with one output that agrees with PyTorch on examples of inputs and output.

    Raises UserError where ONNX Runtime computes anything else, and if writing fails.
    """
    content = model.SerializeToString()
    _check(content, examples, max_difference)
    check_free_space(out, len(content))
    with replace_atomically(out) as partial:
        partial.write_bytes(content)


def _check(
    content: bytes, examples: Iterable[tuple[Mapping[str, Tensor], Tensor]], max_difference: float
) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
        for inputs, wanted in examples:
            feeds = {name: x.numpy() for name, x in inputs.items()}
            (found,) = session.run(None, feeds)
            expected = wanted.numpy()
            same_shape = found.shape == expected.shape
            if not (same_shape and np.abs(found - expected).max() <= max_difference):
                shapes = ", ".join(str(list(x.shape)) for x in inputs.values())
                raise UserError(
                    f"ONNX Runtime {onnxruntime.__version__} computes other values of inputs "
                    f"{shapes} than PyTorch: nothing is written"
                )
    except UserError:
        raise
    except Exception as error:  # its own classes have no common base
        raise UserError(f"ONNX Runtime cannot run the exported model: {error}") from error
