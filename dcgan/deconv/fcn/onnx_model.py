"""A segmentation network as an ONNX model."""

import json
from pathlib import Path

import torch

from dcgan.deconv.fcn.network import FCN
from dcgan.export.onnx_files import describe, require_onnx, trace, write_checked
from dcgan.networks import evaluating

_BATCHES = (1, 3)  # that are compared with ONNX Runtime
_TRACED_BATCH = 2
_MAX_DIFFERENCE = 1e-3  # of the largest logit


def export_onnx(network: FCN, out: Path, height: int, width: int, name: str = "fcn") -> None:
    """Write a network, on the CPU, for images of one size as an ONNX model that ONNX Runtime agrees
    with.

    Input: `images`, float32 [batch, channels, height, width] in [-1, 1]. Output: `logits`,
    [batch, classes, height, width]. The metadata name the classes. The network is used in
    evaluation mode, and comes back in the mode that it was in. Raises UserError without the
    packages of the extra `onnx`, for images that are too small, if writing fails, and where ONNX
    Runtime's logits differ from PyTorch's.
    """
    require_onnx("export_onnx")
    channels = max(network.backbone.image_channels)

    def images(batch: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(batch)
        return torch.rand(batch, channels, height, width, generator=generator) * 2 - 1

    batches = torch.export.Dim("batch")
    with evaluating(network):
        with torch.inference_mode():
            logits = {batch: network(images(batch)) for batch in _BATCHES}
        model = trace(network, (images(_TRACED_BATCH),), ["images"], "logits", ({0: batches},))
    entries = {
        "classes": json.dumps(list(network.class_names)),
        "image_range": "[-1, 1]: x = pixel / 127.5 - 1",
    }
    describe(model, name, entries)
    examples = (({"images": images(batch)}, logits[batch]) for batch in _BATCHES)
    largest = max(float(x.abs().max()) for x in logits.values())
    write_checked(model, out, examples, _MAX_DIFFERENCE * max(largest, 1.0))
