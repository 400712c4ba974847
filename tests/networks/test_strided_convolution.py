"""The convolutions against PyTorch's own operators."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.networks import strided_convolution
from dcgan.networks.models import Discriminator, Generator
from dcgan.networks.strided_convolution import downsample, narrow_up, upsample
from dcgan.networks.winograd import winograd_down, winograd_up

sides = st.integers(1, 4).map(lambda tiles: 4 * tiles)
few = st.integers(1, 4)
formats = st.sampled_from([torch.contiguous_format, torch.channels_last])


# torch itself uses what it warns of.
forward_mode = pytest.mark.filterwarnings("ignore:.torch.jit.script. is:FutureWarning")


@pytest.fixture
def everywhere(monkeypatch):
    """Fewer products for every layer that they suit, whatever the processor and the width."""
    monkeypatch.setattr(strided_convolution, "CAPABILITY", torch.backends.cpu.get_cpu_capability())
    monkeypatch.setattr(strided_convolution, "WIDE", 1)
    monkeypatch.setattr(strided_convolution, "MANY", 1)


@settings(deadline=None, max_examples=50)
@given(few, few, few, sides, sides, formats, formats)
def test_winograd_is_the_convolution_and_its_transpose(n, large, small, h, w, of_x, of_weight):
    torch.manual_seed(0)
    weight = torch.randn(small, large, 4, 4, dtype=torch.float64).contiguous(
        memory_format=of_weight
    )
    x = torch.randn(n, large, h, w, dtype=torch.float64).contiguous(memory_format=of_x)
    y = torch.randn(n, small, h // 2, w // 2, dtype=torch.float64).contiguous(memory_format=of_x)
    expected = F.conv2d(x, weight, stride=2, padding=1)
    torch.testing.assert_close(winograd_down(x, weight), expected)
    expected = F.conv_transpose2d(y, weight, stride=2, padding=1)
    torch.testing.assert_close(winograd_up(y, weight), expected)


@settings(deadline=None, max_examples=50)
@given(few, few, few, st.integers(1, 6), st.integers(1, 6), formats, formats)
def test_parities_together_are_the_transposed_convolution(n, large, small, h, w, of_x, of_weight):
    torch.manual_seed(0)
    weight = torch.randn(small, large, 4, 4, dtype=torch.float64).contiguous(
        memory_format=of_weight
    )
    x = torch.randn(n, small, h, w, dtype=torch.float64).contiguous(memory_format=of_x)
    expected = F.conv_transpose2d(x, weight, stride=2, padding=1)
    torch.testing.assert_close(narrow_up(x, weight), expected)


@forward_mode
@pytest.mark.parametrize(
    ("operator", "side"), [(winograd_down, 8), (winograd_up, 4), (narrow_up, 3)]
)
def test_first_and_second_derivatives_are_those_of_finite_differences(operator, side):
    torch.manual_seed(0)
    x = torch.randn(2, 2, side, side, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    more = {"check_batched_grad": True}
    assert torch.autograd.gradcheck(operator, (x, weight), check_forward_ad=True, **more)
    assert torch.autograd.gradgradcheck(operator, (x, weight), check_fwd_over_rev=True, **more)


@forward_mode
@pytest.mark.parametrize("dims", [(0, 0), (1, None), (None, 0)])
@pytest.mark.parametrize(
    ("operator", "plain", "side"),
    [
        (winograd_down, F.conv2d, 8),
        (winograd_up, F.conv_transpose2d, 4),
        (narrow_up, F.conv_transpose2d, 3),
    ],
)
def test_transforms_of_functions_go_through(operator, plain, side, dims):
    """Gradients of every image, Jacobians and their products, as torch gives them."""
    torch.manual_seed(0)
    x = torch.randn(2, 2, 2, side, side, dtype=torch.float64)
    weight = torch.randn(2, 2, 2, 4, 4, dtype=torch.float64)
    given = tuple(t if dim is not None else t[0] for t, dim in zip((x, weight), dims, strict=True))

    def found(function):
        def loss(x, weight):
            return function(x, weight).square().sum()

        gradient = torch.func.grad(loss, (0, 1))
        transformed = [
            function,
            gradient,
            torch.func.jacfwd(loss, (0, 1)),
            lambda *both: torch.func.jvp(gradient, both, both),
        ]
        return [torch.func.vmap(one, dims)(*given) for one in transformed]

    expected = found(lambda x, weight: plain(x, weight, stride=2, padding=1))
    torch.testing.assert_close(found(operator), expected)


@pytest.mark.parametrize("operator", [downsample, upsample])
def test_fewer_products_cost_hardly_any_digits(operator, everywhere):
    torch.manual_seed(0)
    x, weight = torch.randn(8, 256, 8, 8), torch.randn(256, 256, 4, 4)
    exact = {
        downsample: lambda x, w: F.conv2d(x, w, stride=2, padding=1),
        upsample: lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1),
    }[operator]
    truth = exact(x.double(), weight.double())
    ours, theirs = operator(x, weight), exact(x, weight)
    assert not torch.equal(ours, theirs)  # it was Winograd that ran
    assert (ours - truth).norm() < 4 * (theirs - truth).norm()


def gradients(dtype: torch.dtype) -> list[torch.Tensor]:
    """Of a step of D and of G, in one pass."""
    torch.manual_seed(0)
    G, D = Generator(32, width=16).to(dtype), Discriminator(32, width=16).to(dtype)
    z, real = torch.randn(16, 100), torch.rand(16, 3, 32, 32) * 2 - 1
    loss = F.softplus(-D(real.to(dtype))).mean() + F.softplus(D(G(z.to(dtype)))).mean()
    return torch.autograd.grad(loss, [*G.parameters(), *D.parameters()])


def test_gradients_of_a_step_are_as_near_to_float64_as_the_direct_ones(everywhere, monkeypatch):
    ours = gradients(torch.float32)
    monkeypatch.setattr(strided_convolution, "WIDE", 10**9)
    direct, truth = gradients(torch.float32), gradients(torch.float64)
    for a, b, t in zip(ours, direct, truth, strict=True):
        allowed = 4 * (b - t).norm() + 1e-6 * t.norm()
        assert (a - t).norm() < allowed


def calls(monkeypatch) -> list[str]:
    """Names of our own operators as they are called from now on."""
    seen = []
    for name in ("winograd_down", "winograd_up", "narrow_up"):
        operator = getattr(strided_convolution, name)

        def recorded(*args, name=name, operator=operator):
            seen.append(name)
            return operator(*args)

        monkeypatch.setattr(strided_convolution, name, recorded)
    return seen


def test_what_winograd_does_not_suit_goes_to_torch(everywhere, monkeypatch):
    seen = calls(monkeypatch)
    monkeypatch.setattr(strided_convolution, "NARROW", 0)
    kernel4, kernel5 = torch.randn(4, 4, 4, 4), torch.randn(4, 4, 5, 5)
    downsample(torch.randn(2, 4, 8, 8), kernel4)
    upsample(torch.randn(2, 4, 4, 4), kernel4)
    assert seen == ["winograd_down", "winograd_up"]
    seen.clear()
    downsample(torch.randn(2, 4, 8, 8), kernel5)
    upsample(torch.randn(2, 4, 4, 4), kernel5)
    downsample(torch.randn(2, 4, 6, 6), kernel4)  # sides that are not made of whole tiles
    upsample(torch.randn(2, 4, 3, 4), kernel4)
    downsample(torch.randn(2, 4, 8, 8, device="meta"), kernel4.to("meta"))
    downsample(torch.randn(2, 4, 8, 8).double(), kernel4.double())
    with torch.autocast("cpu", torch.bfloat16):
        downsample(torch.randn(2, 4, 8, 8), kernel4)
    monkeypatch.setattr(strided_convolution, "CAPABILITY", "another")
    downsample(torch.randn(2, 4, 8, 8), kernel4)
    assert seen == []


def test_only_layers_of_few_channels_are_made_of_parities(monkeypatch):
    seen = calls(monkeypatch)
    monkeypatch.setattr(strided_convolution, "CAPABILITY", torch.backends.cpu.get_cpu_capability())
    x = torch.randn(1, 2, 3, 5)
    upsample(x, torch.randn(2, strided_convolution.NARROW, 4, 4))
    assert seen == ["narrow_up"]
    upsample(x, torch.randn(2, strided_convolution.NARROW + 1, 4, 4))
    upsample(x, torch.randn(2, 3, 5, 5))
    upsample(x.double(), torch.randn(2, 3, 4, 4).double())
    monkeypatch.setattr(strided_convolution, "CAPABILITY", "another")
    upsample(x, torch.randn(2, 3, 4, 4))
    assert seen == ["narrow_up"]


def test_narrow_layers_and_few_positions_are_left_alone(monkeypatch):
    seen = calls(monkeypatch)
    monkeypatch.setattr(strided_convolution, "CAPABILITY", torch.backends.cpu.get_cpu_capability())
    many, few = torch.randn(16, 8, 8, 8), torch.randn(15, 8, 8, 8)
    downsample(many, torch.randn(strided_convolution.WIDE, 8, 4, 4))
    assert seen == ["winograd_down"]
    downsample(few, torch.randn(strided_convolution.WIDE, 8, 4, 4))
    downsample(many, torch.randn(strided_convolution.WIDE - 1, 8, 4, 4))
    assert seen == ["winograd_down"]
