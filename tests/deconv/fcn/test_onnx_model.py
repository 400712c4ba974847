"""ONNX models of segmentation networks compute the same logits."""

import json

import numpy as np
import pytest
import torch

from dcgan.deconv import fcn
from dcgan.errors import UserError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def test_a_trained_network_gives_the_same_classes_in_onnx_runtime(segmenter, tmp_path):
    network, out = fcn.load_segmenter(segmenter), tmp_path / "fcn.onnx"
    fcn.export_onnx(network, out, 37, 50)
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    x = torch.rand(5, 3, 37, 50) * 2 - 1
    found = session.run(None, {"images": x.numpy()})[0]
    with torch.inference_mode():
        expected = network(x).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * np.abs(expected).max())
    entries = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    assert json.loads(entries["classes"]) == ["background", "red", "green"]


def test_images_that_are_too_small_are_refused(segmenter, tmp_path):
    with pytest.raises(UserError, match="an image of 8x1 pixels is too small"):
        fcn.export_onnx(fcn.load_segmenter(segmenter), tmp_path / "fcn.onnx", 1, 8)
    assert not (tmp_path / "fcn.onnx").exists()


def test_a_network_in_training_mode_is_exported_as_it_predicts_and_stays_as_it_was(
    segmenter, tmp_path
):
    network, out = fcn.load_segmenter(segmenter).train(), tmp_path / "fcn.onnx"
    before = {name: x.clone() for name, x in network.state_dict().items()}
    fcn.export_onnx(network, out, 19, 30)
    assert all(module.training for module in network.modules())
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    x = torch.rand(2, 3, 19, 30) * 2 - 1
    found = session.run(None, {"images": x.numpy()})[0]
    with torch.inference_mode():
        expected = network.eval()(x).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * np.abs(expected).max())
