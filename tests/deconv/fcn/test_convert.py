"""A converted classifier is the classifier at every window."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dcgan import runs
from dcgan.deconv.fcn import convert_fc
from dcgan.errors import UsageError, UserError
from dcgan.networks import Classifier, Discriminator


def check_windows(classifier, heat, x, **tolerance):
    """Every unit of the heat map is the classifier's output for its window."""
    (height, width), (down, right) = heat.window, heat.stride
    maps = heat(x)
    rows, columns = (x.shape[2] - height) // down + 1, (x.shape[3] - width) // right + 1
    assert maps.shape[2] >= rows and maps.shape[3] >= columns
    for row in range(rows):
        for column in range(columns):
            y0, x0 = row * down, column * right
            window = x[:, :, y0 : y0 + height, x0 : x0 + width].contiguous()
            expected = classifier(window).reshape(len(x), -1)
            torch.testing.assert_close(maps[:, :, row, column], expected, **tolerance)
    return rows * columns


class Flattening(nn.Module):
    """Flattens as people do."""

    def __init__(self, way):
        super().__init__()
        self.way = way

    def forward(self, x):
        return {
            "flatten": lambda: torch.flatten(x, 1),
            "method": lambda: x.flatten(start_dim=1),
            "view": lambda: x.view(x.size(0), -1),
            "shape": lambda: x.reshape(x.shape[0], -1),
            "reshape": lambda: x.reshape(-1, x.shape[1] * x.shape[2] * x.shape[3]),
        }[self.way]()


@st.composite
def classifiers(draw):
    """Random classifiers without padding, and the side of their images."""
    sides = draw(st.tuples(st.integers(9, 15), st.integers(9, 15)))
    layers, channels, last = [], 2, list(sides)
    for _ in range(draw(st.integers(0, 2))):
        kernel, stride = (
            draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
            draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        )
        after = [(n - k) // s + 1 for n, k, s in zip(last, kernel, stride, strict=True)]
        if min(after) < 1:
            break
        last, pools = after, draw(st.booleans())
        if pools:
            kind = draw(st.sampled_from([nn.AvgPool2d, nn.MaxPool2d]))
            layers.append(kind(kernel, stride))
        else:
            after_channels = draw(st.integers(1, 3))
            layers += [nn.Conv2d(channels, after_channels, kernel, stride), nn.LeakyReLU(0.2)]
            channels = after_channels
            if draw(st.booleans()):
                layers.append(nn.BatchNorm2d(channels))
    if draw(st.booleans()):
        layers.append(nn.AdaptiveAvgPool2d(draw(st.sampled_from([tuple(last), (1, 1)]))))
        last = list(layers[-1].output_size)
    ways = ["flatten", "method", "view", "shape", "reshape"]
    layers.append(draw(st.sampled_from([nn.Flatten(), *map(Flattening, ways)])))
    values = channels * last[0] * last[1]
    if draw(st.booleans()):
        layers.append(nn.Dropout(0.5))
    for _ in range(draw(st.integers(0, 2))):
        layers += [nn.Linear(values, 5, bias=draw(st.booleans())), nn.BatchNorm1d(5), nn.ReLU()]
        values = 5
    layers.append(nn.Linear(values, 3))
    network = nn.Sequential(*layers).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return network, sides


@settings(deadline=None, max_examples=40)
@given(made=classifiers(), more=st.tuples(st.integers(0, 7), st.integers(0, 7)))
def test_without_padding_the_heat_map_is_the_classifier_at_every_window(made, more):
    classifier, sides = made
    heat = convert_fc(classifier, sides, channels=2)
    x = torch.randn(2, 2, sides[0] + more[0], sides[1] + more[1], dtype=torch.float64)
    with torch.no_grad():
        check_windows(classifier, heat, x, atol=1e-10, rtol=1e-8)


class Residual(nn.Module):
    """Shortcuts, a concatenation, two dense branches, functions instead of modules."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2)
        self.a, self.b = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)
        self.left, self.right = nn.Linear(6 * 4, 5), nn.Linear(6 * 4, 5)
        self.last = nn.Linear(10, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = x + self.a(x)
        x = torch.cat([x, self.b(x)], dim=1)
        x = F.adaptive_avg_pool2d(x, (2, 2)).view(x.size(0), -1)
        x = torch.cat([torch.tanh(self.left(x)), F.dropout(self.right(x), 0.5, self.training)], 1)
        return F.log_softmax(self.last(x), dim=-1)


class GlobalMean(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 5, stride=3), nn.Linear(4, 1)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean([2, 3])).squeeze(1)


@pytest.mark.parametrize(
    ("network", "side"),
    [(Residual(), 19), (GlobalMean(), 17), (nn.Sequential(nn.Flatten(), nn.Linear(75, 2)), 5)],
    ids=["branches", "mean", "dense only"],
)
def test_networks_written_in_other_ways(network, side):
    network.train()
    heat = convert_fc(network, side)
    assert network.training and not heat.training, "the classifier keeps its mode"
    network.eval()
    with torch.no_grad():
        assert check_windows(network, heat, torch.randn(2, 3, side + 9, side + 13)) > 1


def test_adaptive_pooling_of_whole_windows_becomes_pooling_of_their_size():
    network = nn.Sequential(nn.AdaptiveMaxPool2d((3, 6)), nn.Flatten(), nn.Linear(3 * 18, 2))
    heat = convert_fc(network, (12, 13), channels=3)
    assert heat.stride == (4, 2), "13 positions to 6: windows of 3 at every second"
    with torch.no_grad():
        check_windows(network, heat, torch.randn(1, 3, 21, 19))


def test_weights_are_shared():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5), nn.ReLU(), nn.Linear(5, 2)
    )
    heat = convert_fc(network, 8)
    theirs = {p.data_ptr() for p in network.parameters()}
    assert {p.data_ptr() for p in heat.parameters()} == theirs
    assert heat.network.get_submodule("2").weight.shape == (5, 4, 6, 6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "alexnet"])
def test_dense_layers_of_torchvision_are_views(name):
    """7x7x512x4096 included, at the size of training and on a larger image."""
    network = torchvision.models.get_model(name).eval()
    heat = convert_fc(network, 224)
    x = torch.randn(1, 3, 224, 256)
    kernel = heat.network.get_submodule("classifier.0" if name == "vgg16" else "classifier.1")
    assert kernel.weight.shape[2:] == ((7, 7) if name == "vgg16" else (6, 6))
    pointers = {p.data_ptr() for p in network.parameters()}
    assert {p.data_ptr() for p in heat.parameters()} == pointers
    with torch.no_grad():
        torch.testing.assert_close(heat(x[..., :224])[:, :, 0, 0], network(x[..., :224]))
        assert heat(x).shape == (1, 1000, 1, 2) and heat.stride == (32, 32)


def test_resnet_scores_windows():
    """Its layers pad: exact for its own size; on larger images where a window's surroundings are
    the same, as for windows of an image that repeats itself.
    """
    network = torchvision.models.resnet18(num_classes=10).eval()
    heat = convert_fc(network, 64)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(heat(x)[:, :, 0, 0], network(x))
        repeated = heat(x.repeat(1, 1, 12, 12))[:, :, 8:-8, 8:-8]
    assert heat.stride == (32, 32)
    torch.testing.assert_close(
        repeated[:, :, ::2, ::2], repeated[:, :, :1, :1].expand(-1, -1, 4, 4)
    )


def test_the_classifier_of_the_toolkit():
    network = Classifier(16, 3, 4, width=4).eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        for side in (16, 32):  # it averages larger images first
            heat = convert_fc(network, side)
            torch.testing.assert_close(
                heat(x[..., :side, :side])[:, :, 0, 0], network(x[..., :side, :side])
            )
    assert heat.stride == (8, 8) and convert_fc(network, 16).stride == (4, 4)
    with pytest.raises(UsageError, match="multiple of 16"):
        convert_fc(network, 24)


def test_the_discriminator_gives_the_logits_that_its_mean_is_of():
    D = runs.load_discriminator("faces")
    heat = convert_fc(D, 64)
    x = torch.rand(1, 3, 80, 112) * 2 - 1
    with torch.no_grad():
        maps = heat(x)
        assert maps.shape == (1, 1, 2, 4) and heat.stride == (16, 16)
        torch.testing.assert_close(maps.mean((1, 2, 3)), D(x))
    other = Discriminator(16, 3, 4, batch_norm_D=False, spectral_norm=True).train()
    converted = convert_fc(other, 16)
    assert all(module.training for module in other.modules())
    small = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(converted(small).flatten(), other.eval()(small))
    with pytest.raises(UserError, match="D with minibatch_std"):
        convert_fc(Discriminator(16, 3, 4, minibatch_std=True), 16)
    with pytest.raises(UsageError, match="64x64 pixels, not 32x32"):
        convert_fc(D, 32)


class Transposed(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(48, 2)

    def forward(self, x):
        return self.fc(x.permute(0, 2, 3, 1).flatten(1))


class TwoOutputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(48, 2)

    def forward(self, x):
        return self.fc(x.flatten(1)), x


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class SqueezeExcitation(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(48, 2)

    def forward(self, x):
        return self.fc((x * self.pool(x)).flatten(1))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Transposed(), "layer permute has no"),
        (TwoOutputs(), "several tensors"),
        (Branching(), "cannot be traced"),
        (SqueezeExcitation(), "layer mul has no"),
        (nn.Sequential(nn.Flatten(), nn.LayerNorm(48), nn.Linear(48, 2)), r"layer 1 \(LayerNorm\)"),
        (nn.Sequential(nn.GroupNorm(1, 3), nn.Flatten(), nn.Linear(48, 2)), r"0 \(GroupNorm\)"),
        (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(48), nn.Linear(48, 2)), r"1 \(BatchNorm1d\)"),
        (nn.Sequential(nn.Flatten(), nn.PReLU(48), nn.Linear(48, 2)), r"layer 1 \(PReLU\)"),
        (nn.Sequential(nn.Linear(4, 2)), r"layer 0 \(Linear\)"),
        (
            nn.Sequential(nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(108, 2)),
            r"0 \(AdaptiveAvgPool2d\) pools windows of several sizes",
        ),
        (nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten()), "no dense layer"),
        (nn.Sequential(nn.Flatten(), nn.Linear(50, 2)), "cannot take inputs"),
        (nn.Sequential(nn.Flatten(), nn.Linear(48, 2), nn.Softmax(0)), r"layer 2 \(Softmax\)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_cannot_be_converted_is_named(network, reason):
    with pytest.raises(UserError, match=reason):
        convert_fc(network, 4, channels=3)


@pytest.mark.parametrize("size", [0, -4, "4", 4.0, True, None, (4,), (4, 4, 3), (4, 0)])
def test_sizes_are_whole_numbers(size):
    with pytest.raises(UsageError, match="input_size must be a number of pixels or"):
        convert_fc(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), size)
    with pytest.raises(UsageError, match=r"needs a classifier, an nn\.Module, not a str"):
        convert_fc("resnet18", 4)


def test_images_smaller_than_the_window_are_refused():
    heat = convert_fc(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), 4)
    with pytest.raises(UserError, match="of 5x3 pixels is smaller than the window"):
        heat(torch.zeros(1, 3, 3, 5))
