"""The convolutions against PyTorch's own operators."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan.networks import Discriminator, Generator, strided_convolution
from dcgan.networks.strided_convolution import (
    _subpixel_conv_transpose2d,
    strided_conv2d,
    strided_conv_transpose2d,
)
from dcgan.networks.winograd import winograd_conv2d, winograd_conv_transpose2d

CAPABILITY = torch.backends.cpu.get_cpu_capability()

sides = st.integers(1, 4).map(lambda tiles: 4 * tiles)
few = st.integers(1, 4)
formats = st.sampled_from([torch.contiguous_format, torch.channels_last])


# PyTorch itself uses the feature that it deprecates.
forward_mode = pytest.mark.filterwarnings("ignore:.torch.jit.script. is:FutureWarning")


@pytest.fixture
def winograd_everywhere(monkeypatch):
    """Winograd's algorithm for every layer that it can compute, on any CPU and of any width."""
    monkeypatch.setattr(strided_convolution, "CPU_CAPABILITY", CAPABILITY)
    monkeypatch.setattr(strided_convolution, "_MIN_WINOGRAD_CHANNELS", 1)
    monkeypatch.setattr(strided_convolution, "_MIN_WINOGRAD_POSITIONS", 1)


@settings(deadline=None, max_examples=50)
@given(few, few, few, sides, sides, formats, formats)
def test_winograd_equals_the_convolution_and_its_transpose(n, large, small, h, w, of_x, of_weight):
    torch.manual_seed(0)
    weight = torch.randn(small, large, 4, 4, dtype=torch.float64).contiguous(
        memory_format=of_weight
    )
    x = torch.randn(n, large, h, w, dtype=torch.float64).contiguous(memory_format=of_x)
    y = torch.randn(n, small, h // 2, w // 2, dtype=torch.float64).contiguous(memory_format=of_x)
    expected = F.conv2d(x, weight, stride=2, padding=1)
    torch.testing.assert_close(winograd_conv2d(x, weight), expected)
    expected = F.conv_transpose2d(y, weight, stride=2, padding=1)
    torch.testing.assert_close(winograd_conv_transpose2d(y, weight), expected)


@settings(deadline=None, max_examples=50)
@given(few, few, few, st.integers(1, 6), st.integers(1, 6), formats, formats)
def test_subpixel_equals_the_transposed_convolution(n, large, small, h, w, of_x, of_weight):
    torch.manual_seed(0)
    weight = torch.randn(small, large, 4, 4, dtype=torch.float64).contiguous(
        memory_format=of_weight
    )
    x = torch.randn(n, small, h, w, dtype=torch.float64).contiguous(memory_format=of_x)
    expected = F.conv_transpose2d(x, weight, stride=2, padding=1)
    torch.testing.assert_close(_subpixel_conv_transpose2d(x, weight), expected)


@forward_mode
@pytest.mark.parametrize(
    ("operator", "side"),
    [(winograd_conv2d, 8), (winograd_conv_transpose2d, 4), (_subpixel_conv_transpose2d, 3)],
)
def test_first_and_second_derivatives_match_finite_differences(operator, side):
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
        (winograd_conv2d, F.conv2d, 8),
        (winograd_conv_transpose2d, F.conv_transpose2d, 4),
        (_subpixel_conv_transpose2d, F.conv_transpose2d, 3),
    ],
)
def test_torch_func_transforms_match_those_of_pytorchs_operators(operator, plain, side, dims):
    """Per-sample gradients, Jacobians and Hessian-vector products."""
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


@pytest.mark.parametrize("operator", [strided_conv2d, strided_conv_transpose2d])
def test_winograd_is_nearly_as_accurate_as_the_direct_convolution(operator, winograd_everywhere):
    torch.manual_seed(0)
    x, weight = torch.randn(8, 256, 8, 8), torch.randn(256, 256, 4, 4)
    exact = {
        strided_conv2d: lambda x, w: F.conv2d(x, w, stride=2, padding=1),
        strided_conv_transpose2d: lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1),
    }[operator]
    truth = exact(x.double(), weight.double())
    ours, theirs = operator(x, weight), exact(x, weight)
    assert not torch.equal(ours, theirs), "Winograd did not run"
    assert (ours - truth).norm() < 4 * (theirs - truth).norm()


def step_gradients(dtype: torch.dtype) -> list[torch.Tensor]:
    """Gradients of a loss of D and of G, in one pass."""
    torch.manual_seed(0)
    G, D = Generator(32, width=16).to(dtype), Discriminator(32, width=16).to(dtype)
    z, real = torch.randn(16, 100), torch.rand(16, 3, 32, 32) * 2 - 1
    loss = F.softplus(-D(real.to(dtype))).mean() + F.softplus(D(G(z.to(dtype)))).mean()
    return torch.autograd.grad(loss, [*G.parameters(), *D.parameters()])


def test_winograd_gradients_are_as_accurate_as_direct_ones(winograd_everywhere, monkeypatch):
    ours = step_gradients(torch.float32)
    monkeypatch.setattr(strided_convolution, "_MIN_WINOGRAD_CHANNELS", 10**9)
    direct, truth = step_gradients(torch.float32), step_gradients(torch.float64)
    for a, b, t in zip(ours, direct, truth, strict=True):
        allowed = 4 * (b - t).norm() + 1e-6 * t.norm()
        assert (a - t).norm() < allowed


def record_calls(monkeypatch) -> list[str]:
    """A list to which the names of our own operators are added as they are called."""
    seen = []
    for name in ("winograd_conv2d", "winograd_conv_transpose2d", "_subpixel_conv_transpose2d"):
        operator = getattr(strided_convolution, name)

        def recorded(*args, name=name, operator=operator):
            seen.append(name)
            return operator(*args)

        monkeypatch.setattr(strided_convolution, name, recorded)
    return seen


def test_unsuitable_inputs_go_to_pytorchs_operators(winograd_everywhere, monkeypatch):
    seen = record_calls(monkeypatch)
    monkeypatch.setattr(strided_convolution, "_MAX_SUBPIXEL_CHANNELS", 0)
    kernel4, kernel5 = torch.randn(4, 4, 4, 4), torch.randn(4, 4, 5, 5)
    strided_conv2d(torch.randn(2, 4, 8, 8), kernel4)
    strided_conv_transpose2d(torch.randn(2, 4, 4, 4), kernel4)
    assert seen == ["winograd_conv2d", "winograd_conv_transpose2d"]
    seen.clear()
    strided_conv2d(torch.randn(2, 4, 8, 8), kernel5)
    strided_conv_transpose2d(torch.randn(2, 4, 4, 4), kernel5)
    strided_conv2d(torch.randn(2, 4, 6, 6), kernel4)  # sides that tiles of 4 do not divide
    strided_conv_transpose2d(torch.randn(2, 4, 3, 4), kernel4)
    strided_conv2d(torch.randn(2, 4, 8, 8, device="meta"), kernel4.to("meta"))
    strided_conv2d(torch.randn(2, 4, 8, 8).double(), kernel4.double())
    with torch.autocast("cpu", torch.bfloat16):
        strided_conv2d(torch.randn(2, 4, 8, 8), kernel4)
    monkeypatch.setattr(strided_convolution, "CPU_CAPABILITY", "another")
    strided_conv2d(torch.randn(2, 4, 8, 8), kernel4)
    assert seen == []


def test_only_layers_of_few_channels_use_the_subpixel_convolution(monkeypatch):
    seen = record_calls(monkeypatch)
    monkeypatch.setattr(strided_convolution, "CPU_CAPABILITY", CAPABILITY)
    x = torch.randn(1, 2, 3, 5)
    channels = strided_convolution._MAX_SUBPIXEL_CHANNELS
    strided_conv_transpose2d(x, torch.randn(2, channels, 4, 4))
    assert seen == ["_subpixel_conv_transpose2d"]
    strided_conv_transpose2d(x, torch.randn(2, channels + 1, 4, 4))
    strided_conv_transpose2d(x, torch.randn(2, 3, 5, 5))
    strided_conv_transpose2d(x.double(), torch.randn(2, 3, 4, 4).double())
    monkeypatch.setattr(strided_convolution, "CPU_CAPABILITY", "another")
    strided_conv_transpose2d(x, torch.randn(2, 3, 4, 4))
    assert seen == ["_subpixel_conv_transpose2d"]


def test_winograd_needs_many_channels_and_positions(monkeypatch):
    seen = record_calls(monkeypatch)
    monkeypatch.setattr(strided_convolution, "CPU_CAPABILITY", CAPABILITY)
    many, few = torch.randn(16, 8, 8, 8), torch.randn(15, 8, 8, 8)
    strided_conv2d(many, torch.randn(strided_convolution._MIN_WINOGRAD_CHANNELS, 8, 4, 4))
    assert seen == ["winograd_conv2d"]
    strided_conv2d(few, torch.randn(strided_convolution._MIN_WINOGRAD_CHANNELS, 8, 4, 4))
    strided_conv2d(many, torch.randn(strided_convolution._MIN_WINOGRAD_CHANNELS - 1, 8, 4, 4))
    assert seen == ["winograd_conv2d"]
