"""The convolutions against PyTorch's own operators."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from dcgan.networks import Discriminator, Generator, matrix_product, strided_convolution
from dcgan.networks.strided_convolution import (
    CONVOLUTIONS,
    TRANSPOSES,
    choose_way,
    strided_conv2d,
    strided_conv_transpose2d,
)

CAPABILITY = torch.backends.cpu.get_cpu_capability()

few = st.integers(1, 4)
convolutions = [way for way in CONVOLUTIONS if way != "torch"]
transposes = [way for way in TRANSPOSES if way != "torch"]
formats = st.sampled_from([torch.contiguous_format, torch.channels_last])


# PyTorch itself uses the feature that it deprecates.
forward_mode = pytest.mark.filterwarnings("ignore:.torch.jit.script. is:FutureWarning")


def measured(monkeypatch, *dtypes: torch.dtype) -> None:
    """Let the rule choose for these types on whatever CPU this is."""
    monkeypatch.setitem(strided_convolution.MEASURED_TYPES, CAPABILITY, dtypes)


@pytest.fixture
def winograd_everywhere(monkeypatch):
    """Winograd's algorithm for every layer that it can compute, on any CPU and of any width."""
    measured(monkeypatch, torch.float32)
    monkeypatch.setattr(strided_convolution, "_MIN_WINOGRAD_CHANNELS", 1)
    monkeypatch.setattr(strided_convolution, "_MIN_WINOGRAD_NUMBERS", 1)


def draw_maps(*shape: int, memory_format=torch.channels_last) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64).contiguous(memory_format=memory_format)


@pytest.mark.parametrize("way", convolutions)
@settings(deadline=None, max_examples=50)
@given(n=few, large=few, small=few, h=few, w=few, of_x=formats, of_weight=formats)
def test_every_way_equals_the_convolution(way, n, large, small, h, w, of_x, of_weight):
    torch.manual_seed(0)
    tile = 4 if way == "winograd" else 2
    x = draw_maps(n, large, tile * h, tile * w, memory_format=of_x)
    weight, bias = draw_maps(small, large, 4, 4, memory_format=of_weight), torch.randn(small)
    for b in (None, bias.double()):
        expected = F.conv2d(x, weight, b, stride=2, padding=1)
        torch.testing.assert_close(CONVOLUTIONS[way](x, weight, b), expected)


@pytest.mark.parametrize("way", transposes)
@settings(deadline=None, max_examples=50)
@given(n=few, large=few, small=few, h=few, w=few, of_x=formats, of_weight=formats)
def test_every_way_equals_the_transposed_convolution(way, n, large, small, h, w, of_x, of_weight):
    torch.manual_seed(0)
    tile = 2 if way == "winograd" else 1
    x = draw_maps(n, small, tile * h, tile * w, memory_format=of_x)
    weight, bias = draw_maps(small, large, 4, 4, memory_format=of_weight), torch.randn(large)
    for b in (None, bias.double()):
        expected = F.conv_transpose2d(x, weight, b, stride=2, padding=1)
        torch.testing.assert_close(TRANSPOSES[way](x, weight, b), expected)


@pytest.mark.parametrize("way", transposes)
def test_every_transpose_is_the_adjoint_of_the_convolution(way):
    """<conv(x), y> = <x, transpose(y)>."""
    torch.manual_seed(0)
    x, y, weight = draw_maps(2, 3, 8, 8), draw_maps(2, 5, 4, 4), draw_maps(5, 3, 4, 4)
    convolved = F.conv2d(x, weight, stride=2, padding=1)
    torch.testing.assert_close((convolved * y).sum(), (x * TRANSPOSES[way](y, weight)).sum())


OPERATORS = [
    *((CONVOLUTIONS[way], F.conv2d, 8) for way in convolutions),
    *((TRANSPOSES[way], F.conv_transpose2d, 4) for way in transposes),
]
IDS = [*(f"{way} convolution" for way in convolutions), *(f"{way} transpose" for way in transposes)]


@forward_mode
@pytest.mark.parametrize(("operator", "plain", "side"), OPERATORS, ids=IDS)
def test_first_and_second_derivatives_match_finite_differences(operator, plain, side):
    torch.manual_seed(0)
    # Several channels are compared with PyTorch's derivatives below.
    x = torch.randn(2, 1, side, side, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    more = {"check_batched_grad": True}
    assert torch.autograd.gradcheck(operator, (x, weight), check_forward_ad=True, **more)
    assert torch.autograd.gradgradcheck(operator, (x, weight), check_fwd_over_rev=True, **more)


@forward_mode
@pytest.mark.parametrize("dims", [(0, 0), (1, None), (None, 0)])
@pytest.mark.parametrize(("operator", "plain", "side"), OPERATORS, ids=IDS)
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


@forward_mode
@pytest.mark.parametrize(("operator", "plain", "side"), OPERATORS, ids=IDS)
def test_derivatives_with_respect_to_the_bias(operator, plain, side):
    torch.manual_seed(0)
    x, weight = draw_maps(2, 2, side, side), draw_maps(2, 2, 4, 4)
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)
    for given_weight in (weight, weight.requires_grad_()):

        def convolve(bias, weight=given_weight):
            return operator(x, weight, bias).square()

        assert torch.autograd.gradcheck(convolve, bias, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(convolve, bias)


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


def step_gradients(dtype: torch.dtype, in_bf16: bool = False) -> list[torch.Tensor]:
    """Gradients of a loss of D and of G, in one pass."""
    torch.manual_seed(0)
    G, D = Generator(32, width=16).to(dtype), Discriminator(32, width=16).to(dtype)
    z, real = torch.randn(16, 100), torch.rand(16, 3, 32, 32) * 2 - 1
    with torch.autocast("cpu", torch.bfloat16, enabled=in_bf16):
        real_logits, fake_logits = D(real.to(dtype)), D(G(z.to(dtype)))
    loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
    return torch.autograd.grad(loss, [*G.parameters(), *D.parameters()])


def test_winograd_gradients_are_as_accurate_as_direct_ones(winograd_everywhere, monkeypatch):
    types = dict(strided_convolution.MEASURED_TYPES)
    monkeypatch.setattr(strided_convolution, "MEASURED_TYPES", types)
    ours = step_gradients(torch.float32)
    strided_convolution.MEASURED_TYPES.clear()
    direct, truth = step_gradients(torch.float32), step_gradients(torch.float64)
    for a, b, t in zip(ours, direct, truth, strict=True):
        allowed = 4 * (b - t).norm() + 1e-6 * t.norm()
        assert (a - t).norm() < allowed


def test_gradients_by_products_in_bf16_are_as_accurate_as_by_pytorchs_operators(monkeypatch):
    truth = step_gradients(torch.float64)
    measured(monkeypatch)
    theirs = step_gradients(torch.float32, in_bf16=True)
    measured(monkeypatch, torch.bfloat16)
    monkeypatch.setattr(strided_convolution, "_MIN_PRODUCT_CHANNELS", 1)
    ours = step_gradients(torch.float32, in_bf16=True)
    assert any(not a.equal(b) for a, b in zip(ours, theirs, strict=True)), "products did not run"
    errors = [
        sum((a - t).norm() ** 2 / t.norm() ** 2 for a, t in zip(found, truth, strict=True)).sqrt()
        for found in (ours, theirs)
    ]
    assert errors[0] < 1.1 * errors[1]


@pytest.mark.parametrize("way", ["mixed", "products"])
@pytest.mark.parametrize("transposed", [False, True])
def test_products_of_bf16_add_up_in_float32(transposed, way):
    """The only roundings are those of the results: of maps, of both gradients.

    PyTorch's own are larger on processors without bf16: "mixed" has them but for kernels.
    """
    torch.manual_seed(0)
    side = 4 if transposed else 8
    x, weight = torch.randn(4, 64, side, side).bfloat16(), torch.randn(64, 64, 4, 4).bfloat16()
    ways = TRANSPOSES if transposed else CONVOLUTIONS
    gradient = torch.randn(4, 64, *(2 * [12 - side])).bfloat16()

    def results(way, dtype):
        inputs = [tensor.to(dtype).requires_grad_() for tensor in (x, weight)]
        maps = ways[way](*inputs)
        return maps, *torch.autograd.grad(maps, inputs, gradient.to(dtype))

    truth = results("torch", torch.float64)
    of_torch = results("torch", torch.bfloat16)
    for i, (ours, exact) in enumerate(zip(results(way, torch.bfloat16), truth, strict=True)):
        error = (exact.bfloat16() - exact).norm()
        if way == "mixed" and i < 2:  # maps, and the gradient of x
            error = max(error, (of_torch[i] - exact).norm())
        assert (ours - exact).norm() < 1.02 * error


def way_of(shape_of_x, shape_of_weight, dtype=torch.float32, transposed=False, device="cpu") -> str:
    x = torch.empty(shape_of_x, dtype=dtype, device=device)
    return choose_way(x, torch.empty(shape_of_weight, dtype=dtype, device=device), transposed)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("n", "channels", "side", "expected"),
    [
        (64, 512, 4, "winograd"),
        (16, 512, 4, "winograd"),  # 2^17 numbers
        (15, 512, 4, "torch"),
        (64, 256, 8, "winograd"),
        (512, 255, 8, "torch"),
        (64, 512, 5, "torch"),  # tiles of 2 x 2 do not fit
    ],
)
def test_wide_float32_layers_of_many_positions_use_winograd(
    monkeypatch, n, channels, side, expected, transposed
):
    measured(monkeypatch, torch.float32)
    x = (n, channels, side, side) if transposed else (n, 48, 2 * side, 2 * side)
    assert way_of(x, (channels, 48, 4, 4), transposed=transposed) == expected


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("channels", "expected"), [(256, "products"), (255, "mixed")])
def test_wide_bf16_layers_use_products(monkeypatch, channels, expected, transposed):
    measured(monkeypatch, torch.bfloat16)
    shapes = (2, channels if transposed else 8, 8, 8), (channels, 8, 4, 4)
    assert way_of(*shapes, torch.bfloat16, transposed) == expected
    with torch.autocast("cpu", torch.bfloat16):
        assert way_of(*shapes, torch.float32, transposed) == expected


@pytest.mark.parametrize("transposed", [False, True])
def test_bf16_layers_of_images_in_large_batches_use_pytorchs_operators(monkeypatch, transposed):
    measured(monkeypatch, torch.bfloat16)
    for n, channels, expected in ((64, 4, "mixed"), (65, 4, "torch"), (65, 5, "mixed")):
        shape = (n, 64, 32, 32) if transposed else (n, channels, 64, 64)
        assert way_of(shape, (64, channels, 4, 4), torch.bfloat16, transposed) == expected


def test_gradients_of_weights_in_parts_are_those_of_the_whole(monkeypatch):
    """Of 3 and of 4 images, the last part of 2: in float64, where roundings cannot hide them."""
    torch.manual_seed(0)
    x, weight = draw_maps(8, 3, 8, 8).requires_grad_(), draw_maps(5, 3, 4, 4).requires_grad_()
    gradient = draw_maps(8, 5, 4, 4)
    (expected,) = torch.autograd.grad(F.conv2d(x, weight, None, 2, 1), weight, gradient)
    for images in (3, 4):
        monkeypatch.setattr(matrix_product, "_MAX_COLUMNS", images * 16 * 48 + 1)
        (found,) = torch.autograd.grad(CONVOLUTIONS["mixed"](x, weight), weight, gradient)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("operator", [strided_conv2d, strided_conv_transpose2d])
def test_gradients_of_bf16_weights_are_not_those_of_onednn(monkeypatch, operator):
    """Whose threads keep a CPU that they share from each other."""
    measured(monkeypatch, torch.bfloat16)
    x, weight = torch.randn(2, 8, 8, 8).bfloat16(), torch.randn(8, 8, 4, 4).bfloat16()
    inputs = x.requires_grad_(), weight.requires_grad_()
    with RecordedOperators() as recorded:
        torch.autograd.grad(operator(*inputs).float().square().sum(), inputs)
    assert "aten::convolution_backward" not in recorded.names
    assert "dcgan::weight_gradient_in_parts" in recorded.names


class RecordedOperators(TorchDispatchMode):
    """Records the names of the operators that run in the block."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.name().split(".")[0])
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("side", [(8, 9), (9, 8)])
def test_odd_sides_go_to_pytorchs_operator(monkeypatch, dtype, side):
    """A D for 64x64 images makes maps of 9x9 from images of 72x72."""
    measured(monkeypatch, torch.float32, torch.bfloat16)
    assert way_of((64, 64, *side), (256, 64, 4, 4), dtype) == "torch"
    assert way_of((64, 64, 8, 8), (256, 64, 4, 4), dtype) != "torch"
    if dtype == torch.bfloat16:  # of a transpose any sides are doubled
        assert way_of((64, 256, *side), (256, 64, 4, 4), dtype, transposed=True) == "products"


@pytest.mark.filterwarnings("default")  # of the compiler, at itself
def test_the_rule_does_not_break_the_graphs_of_the_compiler(monkeypatch):
    measured(monkeypatch, torch.float32)
    torch.compiler.reset()
    D = Discriminator(size=16, width=4)
    assert torch._dynamo.explain(D)(torch.randn(2, 3, 16, 16)).graph_break_count == 0


def test_transposes_to_few_channels_use_the_subpixel_convolution(monkeypatch):
    measured(monkeypatch, torch.float32)
    most = strided_convolution._MAX_SUBPIXEL_CHANNELS
    for channels, expected in ((1, "subpixel"), (most, "subpixel"), (most + 1, "torch")):
        shapes = (2, 8, 4, 4), (8, channels, 4, 4)
        assert way_of(*shapes, transposed=True) == expected
        shapes = (2, channels, 8, 8), (8, channels, 4, 4)
        assert way_of(*shapes) == "torch"


def test_everything_that_was_not_measured_goes_to_pytorchs_operators(monkeypatch):
    measured(monkeypatch, torch.float32)
    wide = (64, 256, 8, 8), (256, 256, 4, 4)
    for transposed in (False, True):
        assert way_of(*wide, transposed=transposed) == "winograd"
        assert way_of(*wide, transposed=transposed, device="meta") == "torch"
        assert way_of(*wide, torch.float64, transposed) == "torch"
        assert way_of(*wide, torch.bfloat16, transposed) == "torch"
        assert way_of(wide[0], (256, 256, 5, 5), transposed=transposed) == "torch"
        x, double = torch.empty(wide[0]), torch.empty(wide[1], dtype=torch.float64)
        assert choose_way(x, double, transposed) == "torch"
        with torch.autocast("cpu", torch.bfloat16):
            assert way_of(*wide, transposed=transposed) == "torch"
            measured(monkeypatch, torch.float32, torch.bfloat16)
            assert way_of(*wide, transposed=transposed) == "products"
            assert way_of(*wide, torch.float64, transposed) == "torch", "autocast leaves float64"
            measured(monkeypatch, torch.float32)
    monkeypatch.setattr(strided_convolution, "MEASURED_TYPES", {"another": (torch.float32,)})
    assert way_of(*wide) == "torch"


def test_autocast_computes_in_bf16_with_gradients_in_float32(monkeypatch):
    measured(monkeypatch, torch.bfloat16)
    monkeypatch.setattr(strided_convolution, "_MIN_PRODUCT_CHANNELS", 1)
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 3, 4, 4), torch.randn(5, 3, 4, 4), torch.randn(5)
    inputs = [tensor.requires_grad_() for tensor in (x, weight, bias)]
    with torch.autocast("cpu", torch.bfloat16):
        maps = strided_conv2d(x, weight, bias)
        images = strided_conv_transpose2d(maps, weight)
    assert maps.dtype == images.dtype == torch.bfloat16
    exact = F.conv_transpose2d(
        F.conv2d(*(t.double() for t in inputs), stride=2, padding=1),
        weight.double(),
        stride=2,
        padding=1,
    )
    assert (images - exact).norm() < 0.02 * exact.norm()
    ours = torch.autograd.grad(images.float().square().sum(), inputs)
    theirs = torch.autograd.grad(exact.square().sum(), inputs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() < 0.05 * b.norm()
