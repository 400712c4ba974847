"""Projections: agreement with the paper written down directly, and with Captum."""

import pytest
import torch
import torch.nn.functional as F
from captum.attr import Deconvolution, GuidedBackprop
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dcgan import runs
from dcgan.deconv.visualize import open_layer, project
from dcgan.errors import UserError
from tests.deconv.visualize import paper

CAPTUM = {"deconvnet": Deconvolution, "guided": GuidedBackprop}
METHODS = ("deconvnet", "guided", "gradient")


def images(*shape: int, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class Function(nn.Module):
    """A network from a convolution and a function of its output."""

    def __init__(self, function, channels: int = 4):
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Conv2d(3, channels, 3)
        self.last = nn.Conv2d(channels, 5, 3)
        self.function = function
        self.double()

    def forward(self, x):
        return self.last(self.function(self.first(x)))


@settings(deadline=None, max_examples=60)
@given(paper.networks(), st.booleans(), st.booleans(), st.integers(0, 2**16))
def test_random_networks_agree_with_the_paper(network, guided, whole, seed):
    x = images(2, 2, 17, 14, seed=seed)
    steps, maps = paper.forward(list(network), x)
    layer = open_layer(network, "output", (2, 17, 14))
    torch.testing.assert_close(layer.maps(x), maps)
    unit = seed % maps.shape[1]
    signal = torch.zeros_like(maps)
    if whole:
        signal[:, unit] = maps[:, unit]
    else:
        for one, its_map in zip(signal, maps, strict=True):
            one[unit].flatten()[its_map[unit].argmax()] = 1
    projected = project(layer, x, unit, "guided" if guided else "deconvnet", whole=whole)
    expected = paper.project(steps, signal, guided)
    torch.testing.assert_close(projected, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize("method", CAPTUM)
@settings(deadline=None, max_examples=15)
@given(network=paper.networks(leaky=False), seed=st.integers(0, 99))
def test_relu_and_max_pool_networks_agree_with_captum(method, network, seed):
    x = images(3, 2, 17, 14, seed=seed)
    for module in network:
        if isinstance(module, nn.ReLU):
            module.inplace = False  # which Captum's hooks do not take
    layer = open_layer(network, "output", (2, 17, 14))
    unit, places = seed % layer.shape[0], [side // 2 for side in layer.shape[1:]]
    positions = torch.tensor([places] * 3)
    projected = project(layer, x, unit, method, positions)
    expected = CAPTUM[method](network).attribute(x.requires_grad_(), target=(unit, *places))
    torch.testing.assert_close(projected, expected, rtol=1e-6, atol=1e-6)


class Residual(nn.Module):
    """Two residual blocks; `reuse` one ReLU in place, or have one of its own at each place."""

    def __init__(self, reuse: bool):
        super().__init__()
        torch.manual_seed(1)
        self.convs = nn.ModuleList(nn.Conv2d(c, 6, 3, padding=1) for c in (3, 6, 6, 6))
        self.norms = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(4))
        relu = nn.ReLU(inplace=True)
        self.relus = nn.ModuleList(relu if reuse else nn.ReLU() for _ in range(4))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.score = nn.Linear(6, 4)
        for norm in self.norms:
            nn.init.normal_(norm.running_mean)
        self.eval()

    def forward(self, x):
        for i, (conv, norm, relu) in enumerate(
            zip(self.convs, self.norms, self.relus, strict=True)
        ):
            out = norm(conv(x))
            if i % 2:
                out += x
            x = relu(out)
            if i == 1:
                x = self.pool(x)
        return self.score(x.mean((2, 3)))


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize("method", CAPTUM)
def test_reused_rectifiers_in_place_agree_with_captum_on_separate_ones(method):
    x = images(2, 3, 20, 20, dtype=torch.float32)
    projected = project(open_layer(Residual(reuse=True), "score", (3, 20, 20)), x, 2, method)
    expected = CAPTUM[method](Residual(reuse=False)).attribute(x.requires_grad_(), target=2)
    torch.testing.assert_close(projected, expected, rtol=1e-6, atol=1e-6)


def in_place_without_the_result(x):
    F.relu(x, inplace=True)
    return x


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "spelled",
    [
        *(nn.ReLU(inplace=True), F.relu, torch.relu, torch.relu_, lambda x: x.relu()),
        *(lambda x: x.clamp(min=0), lambda x: torch.clamp_min(x, 0), lambda x: x.clip(0)),
        *(lambda x: torch.ops.aten.relu(x), nn.Threshold(0, 0), in_place_without_the_result),
        *(lambda x: F.threshold(x, 0, 0, True), nn.LeakyReLU(0), lambda x: F.relu(input=x)),
        lambda x: F.hardtanh(x, 0, 1e9),
        nn.PReLU(4, init=0.0),
        nn.RReLU(0, 0).eval(),
    ],
)
def test_every_spelling_of_relu_follows_the_rule(spelled, method):
    x = images(2, 3, 9, 9)
    expected = project(open_layer(Function(nn.ReLU()), "last", (3, 9, 9)), x, 1, method)
    actual = project(open_layer(Function(spelled), "last", (3, 9, 9)), x, 1, method)
    torch.testing.assert_close(actual, expected)
    gradient = project(open_layer(Function(nn.ReLU()), "last", (3, 9, 9)), x, 1, "gradient")
    assert (method == "gradient") == torch.equal(expected, gradient)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "spelled", [nn.LeakyReLU(0.3, True), nn.PReLU(4, 0.3), nn.RReLU(0.2, 0.4).eval()]
)
def test_leaky_rectifiers_have_one_rule(spelled, method):
    x = images(2, 3, 9, 9)
    expected = project(open_layer(Function(nn.LeakyReLU(0.3)), 2, (3, 9, 9)), x, 1, method)
    actual = project(open_layer(Function(spelled), 2, (3, 9, 9)), x, 1, method)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("method", METHODS)
def test_the_leaky_rule_goes_from_that_of_relu_to_the_gradient(method):
    x = images(2, 3, 9, 9)

    def of(rectifier, method=method):
        return project(open_layer(Function(rectifier), "last", (3, 9, 9)), x, 0, method)

    torch.testing.assert_close(of(nn.LeakyReLU(1e-12)), of(nn.ReLU()))
    torch.testing.assert_close(of(nn.LeakyReLU(1.0)), of(nn.Identity(), "gradient"))
    steps = [of(nn.LeakyReLU(slope)) for slope in (0.5, 0.5 + 1e-9)]
    torch.testing.assert_close(*steps, rtol=0, atol=1e-7)


def test_a_deconvnet_sees_the_image_by_its_switches_alone():
    place = torch.tensor([[1, 1]] * 2)
    for pool, alike in ((nn.AvgPool2d(2), True), (nn.MaxPool2d(2), False)):
        layer = open_layer(Function(nn.Sequential(nn.ReLU(), pool)), "last", (3, 16, 16))
        one, other = project(layer, images(2, 3, 16, 16), 0, "deconvnet", place)
        assert torch.allclose(one, other) == alike
        one, other = project(layer, images(2, 3, 16, 16), 0, "guided", place)
        assert not torch.allclose(one, other)


def test_relu6_is_closed_above_its_maximum():
    x = torch.tensor([-1.0, 2.0, 7.0]).view(3, 1, 1, 1)
    network = nn.Sequential(nn.Identity(), nn.ReLU6())
    layer = open_layer(network, "output", (1, 1, 1))
    assert project(layer, x, 0, "guided").flatten().tolist() == [0, 1, 0]
    assert project(layer, x, 0, "deconvnet").flatten().tolist() == [1, 1, 1]
    assert project(layer, x, 0, "gradient").flatten().tolist() == [0, 1, 0]


@pytest.mark.parametrize("method", METHODS)
def test_the_discriminator_agrees_with_the_paper(method):
    D = runs.load_discriminator("faces")
    modules: list[nn.Module] = []
    for convolution, rectifier in D.blocks:
        plain = nn.Conv2d(*convolution.weight.shape[1::-1], 4, 2, 1)
        plain.weight, plain.bias = convolution.weight, nn.Parameter(convolution.bias)
        modules += [plain, rectifier]
    x = images(2, 3, 64, 64, dtype=torch.float32).clamp(-1, 1)
    with torch.no_grad():
        steps, maps = paper.forward(modules, x)
        signal = torch.zeros_like(maps)
        signal[:, 7, 1, 2] = 1
        expected = paper.project(steps, signal, method == "guided")
    layer = open_layer(D, 4, (3, 64, 64))
    torch.testing.assert_close(layer.maps(x), maps, rtol=1e-4, atol=1e-5)
    projected = project(layer, x, 7, method, torch.tensor([[1, 2]] * 2))
    if method == "gradient":
        x.requires_grad_()
        (expected,) = torch.autograd.grad(D.features(x)[3][:, 7, 1, 2].sum(), x)
    scale = expected.abs().max().item()
    torch.testing.assert_close(projected, expected, rtol=1e-4, atol=1e-5 * scale)


class OwnRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, signal):
        return signal * (ctx.saved_tensors[0] > 0)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (F.elu, "the operation Elu"),
        (F.gelu, "the operation Gelu"),
        (F.silu, "the operation Silu"),
        (torch.sigmoid, "the operation Sigmoid"),
        (torch.tanh, "the operation Tanh"),
        (F.softplus, "the operation Softplus"),
        (F.hardswish, "the operation Hardswish"),
        (lambda x: x.clamp(min=0.5), "the operation Clamp"),
        (lambda x: F.threshold(x, 1, 0), "the operation Threshold"),
        (lambda x: torch.where(x > 0, x, 0), "the operation Where"),
        (lambda x: torch.maximum(x, x.new_zeros(())), "the operation Maximum"),
        (lambda x: x * (x > 0), "multiplies by a mask"),
        (lambda x: (x > 0).to(x) * x, "multiplies by a mask"),
        (lambda x: x.masked_fill(x < 0, 0), "the operation MaskedFill"),
        (OwnRelu.apply, "the operation OwnRelu of its own"),
    ],
)
def test_what_has_no_rule_is_refused_in_one_line(function, words):
    x = images(2, 3, 9, 9)
    layer = open_layer(Function(function), "last", (3, 9, 9))
    for method in ("deconvnet", "guided"):
        with pytest.raises(UserError, match=f"layer last: .*{words}.* use --method gradient"):
            project(layer, x, 0, method)
    x.requires_grad_()
    maps = layer.compute(x)
    values = maps[:, 0].flatten(1).max(1).values
    (expected,) = torch.autograd.grad(values.sum(), x)
    torch.testing.assert_close(project(layer, x, 0, "gradient"), expected)
    before = open_layer(layer.network, "first", (3, 9, 9))
    assert project(before, x, 0).any()  # what comes after a layer does not matter


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_scripted_part_is_refused():
    network = Function(torch.jit.script(nn.ReLU()))
    with pytest.raises(UserError, match="use --method gradient"):
        project(open_layer(network, "last", (3, 9, 9)), images(2, 3, 9, 9), 0)
