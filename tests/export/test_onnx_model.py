"""Exported ONNX models compute what the generator computes, whatever the batch and the grid."""

import json

import numpy as np
import pytest
import torch

from dcgan.errors import UserError
from dcgan.export import onnx_files, onnx_model
from dcgan.export.onnx_files import OPSET
from dcgan.export.onnx_model import export_onnx
from dcgan.latent import noise_from_seeds
from tests.latent.generators import ATTRIBUTES, CLASSES, make_generator

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def images_of(path, z, labels=None) -> torch.Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = {"z": z.numpy()} | ({} if labels is None else {"labels": labels.numpy()})
    return torch.from_numpy(session.run(None, feeds)[0])


@pytest.mark.parametrize(
    "options",
    [dict(width=64, size=32), dict(kernel_size=5, channels=1, latent="uniform"), dict(size=8)],
    ids=str,
)
def test_batches_and_grids_of_all_sizes_give_the_images_of_the_generator(options, tmp_path):
    G, out = make_generator(**options), tmp_path / "g.onnx"
    export_onnx(G, out)
    for batch, height, width in ((1, 1, 1), (7, 1, 1), (1, 1, 9), (4, 6, 1), (2, 3, 3)):
        z = torch.randn(batch, G.latent_dim, height, width)
        with torch.inference_mode():
            torch.testing.assert_close(images_of(out, z), G(z), rtol=0, atol=1e-4)
    graph = onnx.load(out).graph
    convolutions = [node.op_type for node in graph.node if "Conv" in node.op_type]
    layers = int(np.log2(G.size)) - 1
    assert convolutions == ["ConvTranspose"] * layers
    assert {node.domain for node in graph.node} == {""}


@pytest.mark.parametrize("labels", [CLASSES, ATTRIBUTES], ids=["class", "attributes"])
def test_labels_are_a_second_input(labels, tmp_path):
    G, out = make_generator(labels), tmp_path / "g.onnx"
    export_onnx(G, out)
    z = noise_from_seeds(range(5), G.latent_dim, "normal")
    chosen = labels.from_seeds(range(5))
    with torch.inference_mode():
        expected = G(torch.cat([z, chosen], 1))
    found = images_of(out, z[:, :, None, None], chosen[:, :, None, None])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    entries = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    assert json.loads(entries["labels"]) == list(labels.names)
    assert entries["label_kind"].startswith(f"{labels.kind}: ")
    if labels.kind == "class":
        assert json.loads(entries["label_counts"]) == labels.counts.tolist()


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_the_metadata_say_how_seeds_become_latents_and_no_files(distribution, tmp_path):
    G, out = make_generator(latent=distribution), tmp_path / "g.onnx"
    export_onnx(G, out, "a name")
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    assert model.graph.name == "a name"
    entries = {entry.key: entry.value for entry in model.metadata_props}
    rng = np.random.default_rng(7)
    z = noise_from_seeds([7], G.latent_dim, distribution)[0].numpy()
    rule = {
        "normal": ("standard_normal", lambda: rng.standard_normal(G.latent_dim, np.float32)),
        "uniform": ("random(", lambda: 2 * rng.random(G.latent_dim, np.float32) - 1),
    }[distribution]
    assert rule[0] in entries["seed_rule"]
    assert np.array_equal(z, rule[1]())
    assert entries["latent_dim"] == str(G.latent_dim)
    assert entries["latent_distribution"].startswith(distribution)
    assert entries["image_range"].startswith("[-1, 1]")
    content = out.read_bytes()  # the exporter notes the files of its stack traces
    assert b".py" not in content and b"site-packages" not in content


def test_a_model_that_computes_other_images_is_not_written(tmp_path, monkeypatch):
    G, other, out = make_generator(), make_generator(), tmp_path / "g.onnx"
    other.layers[-2].weight.mul_(1.02)
    trace = onnx_model._trace
    monkeypatch.setattr(onnx_model, "_trace", lambda _: trace(other))
    with pytest.raises(UserError, match=r"computes other values of inputs .* nothing is written"):
        export_onnx(G, out)
    assert not list(tmp_path.iterdir())


def test_missing_packages_name_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_files, "find_spec", lambda name: None if name == "onnx" else name)
    with pytest.raises(UserError, match=r'needs onnx: install them by pip install "dcgan\[onnx\]"'):
        export_onnx(make_generator(), tmp_path / "g.onnx")
