"""Backbones: frozen ones, geometry, weights, and networks of others."""

import copy

import pytest
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from torch import nn

from dcgan.deconv.fcn import (
    FCN,
    VGG16,
    DiscriminatorBackbone,
    TorchvisionBackbone,
    load_vgg16,
)
from dcgan.deconv.fcn.normalization import ImageNetNormalization
from dcgan.errors import UsageError, UserError
from dcgan.networks import Discriminator
from tests.deconv.fcn import toys


def test_the_maps_of_D_are_its_features():
    D = Discriminator(64, 3, 4, batch_norm_D=True).eval()
    backbone = DiscriminatorBackbone(D).eval()
    x = torch.rand(2, 3, 64, 64)
    assert all(map(torch.equal, backbone(x), D.features(x)))
    assert [int(field.stride) for field in backbone.fields] == [2, 4, 8, 16]
    assert all(p.requires_grad for p in backbone.parameters())
    with torch.no_grad():
        next(backbone.parameters()).zero_()
    assert next(D.parameters()).abs().max() > 0, "the backbone has copies"


def test_odd_sides_are_padded_with_zeros():
    backbone = toys.discriminator_backbone(batch_norm_D=False, bias_D=True).eval()
    x = torch.rand(1, 3, 33, 50)
    first = backbone(x)[0]
    padded = backbone(F.pad(x, (0, 0, 0, 1)))[0]
    assert torch.equal(first, padded) and first.shape[2:] == (17, 25)


def test_a_frozen_backbone_stays_as_it_is_when_the_network_is_trained():
    backbone = toys.discriminator_backbone(batch_norm_D=True).freeze()
    before = copy.deepcopy(backbone.state_dict())
    fcn = FCN(backbone, 2, 2).train()
    for score in fcn.scores:
        nn.init.normal_(score.weight)
    optimizer = torch.optim.SGD([p for p in fcn.parameters() if p.requires_grad], 0.1)
    x = torch.rand(4, 3, 32, 32)
    F.cross_entropy(fcn(x), torch.randint(2, (4, 32, 32))).backward()
    optimizer.step()
    assert all(p.grad is None for p in backbone.parameters())
    assert all(torch.equal(before[key], value) for key, value in backbone.state_dict().items())
    assert not any(module.training for module in backbone.modules()) and fcn.training
    trained = FCN(toys.discriminator_backbone(batch_norm_D=True), 2, 2).train()
    norm = next(m for m in trained.modules() if isinstance(m, nn.BatchNorm2d))
    trained(x)
    assert norm.num_batches_tracked == 1


def test_ImageNet_normalization_is_that_of_torchvision():
    x = torch.rand(2, 3, 5, 5)
    expected = torchvision.transforms.functional.normalize(
        x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    )
    normalize = ImageNetNormalization()
    torch.testing.assert_close(normalize(2 * x - 1), expected)
    grey = 2 * x[:, :1] - 1
    assert torch.equal(normalize(grey), normalize(grey.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(
    "name", ["alexnet", "vgg11", "resnet18", "mobilenet_v2", "squeezenet1_1", "googlenet"]
)
def test_maps_of_torchvision_have_the_sides_and_channels_that_arithmetic_gives(name):
    backbone = TorchvisionBackbone(name).eval()
    for height, width in ((64, 97), (131, 72)):
        with torch.no_grad():
            maps = backbone(torch.rand(1, 3, height, width))
        sides = zip(backbone.map_sides(height), backbone.map_sides(width), strict=True)
        assert [tuple(each.shape[2:]) for each in maps] == list(sides)
        assert [each.shape[1] for each in maps] == list(backbone.channels)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_the_fields_of_branched_networks_are_what_reaches_units(name):
    """By derivatives of a network with positive weights; units in the middle of their field."""
    backbone = TorchvisionBackbone(name).eval()
    for key, tensor in backbone.state_dict().items():
        tensor.fill_(0 if key.endswith(("bias", "running_mean")) else 1)
        if tensor.dim() == 4:
            tensor.fill_(1 / tensor[0].numel())
    for module in backbone.modules():
        if isinstance(module, nn.MaxPool2d):
            module.forward = lambda x, m=module: F.avg_pool2d(
                x, m.kernel_size, m.stride, m.padding, m.ceil_mode
            )
    x = torch.ones(1, 3, 640, 1, requires_grad=True)
    for each, field in zip(backbone(x.expand(-1, -1, -1, 64)), backbone.fields, strict=True):
        unit = each.shape[2] // 2
        (gradient,) = torch.autograd.grad(each[0, :, unit].sum(), x, retain_graph=True)
        reached = gradient[0].abs().sum((0, 2)).nonzero()[:, 0]
        start = unit * int(field.stride) - field.padding
        assert (int(reached[0]), int(reached[-1])) == (start, start + field.size - 1)
        assert field.centre == (field.size - 1) / 2 - field.padding


def test_the_maps_of_resnet_are_the_outputs_of_its_stages():
    network = torchvision.models.resnet18().eval()
    backbone = TorchvisionBackbone("resnet18").eval()
    backbone.network.load_state_dict(network.state_dict(), strict=False)
    x = torch.rand(1, 3, 64, 64)
    h = network.relu(network.bn1(network.conv1(backbone.normalize(x))))
    expected = [h]
    h = network.maxpool(h)
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        h = stage(h)
        expected.append(h)
    for ours, theirs in zip(backbone(x), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("efficientnet_b0", "after features.1.0.block.1.avgpool"),
        ("vit_b_32", "strides 32"),
        ("convnext_tiny", "after permute"),
        ("shufflenet_v2_x0_5", "after view"),
    ],
)
def test_networks_whose_units_have_no_place_are_refused(name, reason):
    with pytest.raises(UserError, match=reason):
        TorchvisionBackbone(name)


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match="no network 'resnet19'"):
        TorchvisionBackbone("resnet19")
    with pytest.raises(UsageError, match="for classification"):
        TorchvisionBackbone("fcn_resnet50")


def test_weights_come_from_a_file(tmp_path):
    network = torchvision.models.resnet18().eval()
    path = tmp_path / "weights.safetensors"
    tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(tensors, path)
    backbone = TorchvisionBackbone("resnet18", path)
    for key, tensor in backbone.network.state_dict().items():
        assert torch.equal(tensor, tensors[key])
    assert backbone.training and all(p.requires_grad for p in backbone.parameters())
    backbone.eval()(torch.rand(1, 3, 64, 64))
    del tensors["layer1.0.conv1.weight"]
    save_file(tensors, path)
    with pytest.raises(UserError, match=r"do not fit resnet18: they lack layer1\.0\.conv1"):
        TorchvisionBackbone("resnet18", path)
    tensors["layer1.0.conv1.weight"] = torch.full((64, 64, 3, 3), float("nan"))
    save_file(tensors, path)
    with pytest.raises(UserError, match="not finite"):
        TorchvisionBackbone("resnet18", path)
    tensors["layer1.0.conv1.weight"] = torch.zeros(64, 64, 3, 3, dtype=torch.int8)
    save_file(tensors, path)
    with pytest.raises(UserError, match=r"layer1\.0\.conv1\.weight holds int8, not float32"):
        TorchvisionBackbone("resnet18", path)
    path.write_bytes(b"\x89PNG no weights")
    with pytest.raises(UserError, match="no safetensors file: it is a picture"):
        TorchvisionBackbone("resnet18", path)
    with pytest.raises(UserError, match="no such file"):
        TorchvisionBackbone("resnet18", tmp_path / "missing.safetensors")


def test_VGG16_is_the_classifier_at_every_window():
    """Of torchvision's layers, narrower: with its dense layers read by convolutions."""
    torch.manual_seed(0)
    widths = (4, 4, 6, 6, 8)
    layers, last = [], 3
    for depth, width in zip((2, 2, 3, 3, 3), widths, strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(last, width, 3, padding=1), nn.ReLU()]
            last = width
        layers.append(nn.MaxPool2d(2))
    features = nn.Sequential(*layers).eval()
    fc6, fc7 = nn.Linear(8 * 49, 16), nn.Linear(16, 16)
    vgg = VGG16(True, widths, 16).eval()
    theirs = [*features.parameters(), *fc6.parameters(), *fc7.parameters()]
    with torch.no_grad():
        for ours, their in zip(vgg.parameters(), theirs, strict=True):
            ours.copy_(their.view(ours.shape))
    x = torch.rand(1, 3, 224, 224) * 2 - 1
    expected = fc7(fc6(features(vgg.normalize(x)).flatten(1)).relu()).relu()
    torch.testing.assert_close(vgg(x)[-1][:, :, 3, 3], expected)


def test_files_that_are_not_VGG16_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    for number in ("0", "9" * 5000, "x"):
        save_file({f"features.{number}.weight": torch.zeros(64, 3, 3, 3)}, path)
        with pytest.raises(UserError, match="not of torchvision's vgg16"):
            load_vgg16(path)


@pytest.mark.slow
def test_VGG16_loads_the_weights_of_torchvision(tmp_path):
    path = tmp_path / "vgg16.safetensors"
    with torch.device("meta"):
        network = torchvision.models.vgg16()
    generator = torch.Generator().manual_seed(0)
    tensors = {
        key: torch.randn(value.shape, generator=generator) * value[0].numel() ** -0.5
        for key, value in network.state_dict().items()
    }
    save_file(tensors, path)
    network.load_state_dict(tensors, assign=True)
    network.eval()
    vgg = load_vgg16(path, pad_fc6=True).eval()
    x = torch.rand(1, 3, 224, 224) * 2 - 1
    with torch.no_grad():
        flat = network.features(vgg.normalize(x)).flatten(1)
        expected = network.classifier[:5](flat)
        torch.testing.assert_close(vgg(x)[-1][:, :, 3, 3], expected, atol=1e-4, rtol=1e-4)
