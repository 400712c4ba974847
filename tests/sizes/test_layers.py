"""Sizes of single layers against PyTorch's operators, and the relationships of the guide."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dcgan.errors import UsageError
from dcgan.sizes import Conv, ConvTranspose, Pool

kernels, strides, dilations = st.integers(1, 9), st.integers(1, 5), st.integers(1, 4)
paddings, sizes = st.integers(0, 9), st.integers(1, 40)


def size_by_torch(layer, size: int) -> int | None:
    """The size that PyTorch gives; None where it refuses."""
    x = torch.empty(1, 1, size, device="meta")
    weight = torch.empty(1, 1, layer.kernel, device="meta")
    window = dict(stride=layer.stride, padding=layer.padding, dilation=layer.dilation)
    try:
        if isinstance(layer, Pool):
            y = F.max_pool1d(x, layer.kernel, **window, ceil_mode=layer.ceil)
        elif isinstance(layer, Conv):
            y = F.conv1d(x, weight, **window)
        else:
            y = F.conv_transpose1d(x, weight, output_padding=layer.output_padding, **window)
    except RuntimeError:
        return None
    return y.shape[-1] or None


def size_by_us(layer, size: int) -> int | None:
    try:
        return layer.output_size(size)
    except UsageError:
        return None


@settings(max_examples=300, deadline=None)
@given(kernels, strides, paddings, dilations, sizes)
def test_convolutions_have_the_size_that_torch_gives(kernel, stride, padding, dilation, size):
    layer = Conv(kernel, stride, padding, dilation)
    assert size_by_us(layer, size) == size_by_torch(layer, size)


@settings(max_examples=300, deadline=None)
@given(kernels, strides, paddings, dilations, st.booleans(), sizes)
def test_poolings_have_the_size_that_torch_gives(kernel, stride, padding, dilation, ceil, size):
    assume(padding <= kernel // 2)
    layer = Pool(kernel, stride, padding, dilation, ceil)
    assert size_by_us(layer, size) == size_by_torch(layer, size)


@settings(max_examples=300, deadline=None)
@given(kernels, strides, paddings, dilations, st.integers(0, 4), sizes)
def test_transposed_convolutions_have_the_size_that_torch_gives(
    kernel, stride, padding, dilation, output_padding, size
):
    assume(output_padding < max(stride, dilation))
    layer = ConvTranspose(kernel, stride, padding, dilation, output_padding)
    assert size_by_us(layer, size) == size_by_torch(layer, size)


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 7), st.integers(0, 6), st.integers(1, 4))
def test_the_fifteen_relationships_of_the_guide(i, k, p, s):
    """Dumoulin and Visin 2016, with their names: input i, kernel k, padding p, stride s."""
    assume(k <= i and p < k)
    half, odd = k // 2, k % 2 == 1
    conv, deconv = Conv, ConvTranspose
    assert conv(k).output_size(i) == i - k + 1  # 1
    assert conv(k, padding=p).output_size(i) == i - k + 2 * p + 1  # 2
    if odd:
        assert conv(k, padding=half).output_size(i) == i  # 3
    assert conv(k, padding=k - 1).output_size(i) == i + (k - 1)  # 4
    assert conv(k, s).output_size(i) == (i - k) // s + 1  # 5
    assert conv(k, s, p).output_size(i) == (i + 2 * p - k) // s + 1  # 6
    assert Pool(k, s).output_size(i) == (i - k) // s + 1  # 7
    assert deconv(k).output_size(i) == i + (k - 1)  # 8
    assert size_by_us(deconv(k, padding=p), i) == (max(i + (k - 1) - 2 * p, 0) or None)  # 9
    if odd:
        assert deconv(k, padding=half).output_size(i) == i  # 10
    assert size_by_us(deconv(k, padding=k - 1), i) == (max(i - (k - 1), 0) or None)  # 11
    if (i - k) % s == 0:
        assert deconv(k, s).output_size(conv(k, s).output_size(i)) == i  # 12
        assert deconv(k, s).output_size(i) == s * (i - 1) + k
    there = conv(k, s, p).output_size(i)
    if (i + 2 * p - k) % s == 0:
        assert deconv(k, s, p).output_size(there) == s * (there - 1) + k - 2 * p == i  # 13
    back = conv(k, s, p).transpose(i)
    assert back.output_padding == (i + 2 * p - k) % s
    assert back.output_size(there) == s * (there - 1) + back.output_padding + k - 2 * p == i  # 14
    for d in (1, 2, 3):
        room = i + 2 * p - k - (k - 1) * (d - 1)
        assert size_by_us(conv(k, s, p, d), i) == (room // s + 1 if room >= 0 else None)  # 15


@settings(max_examples=200, deadline=None)
@given(kernels, strides, paddings, dilations, st.integers(1, 12), st.booleans())
def test_an_output_reads_the_inputs_that_its_gradient_reaches(
    kernel, stride, padding, dilation, size, transposed
):
    layer = (ConvTranspose if transposed else Conv)(kernel, stride, padding, dilation)
    outputs = size_by_us(layer, size)
    assume(outputs is not None)
    operator = F.conv_transpose1d if transposed else F.conv1d
    window = dict(stride=stride, padding=padding, dilation=dilation)
    x = torch.zeros(1, 1, size, requires_grad=True)
    y = operator(x, torch.ones(1, 1, kernel), **window)
    for output in {0, outputs // 2, outputs - 1}:
        (gradient,) = torch.autograd.grad(y[0, 0, output], x, retain_graph=True)
        inside = [i for i in layer.inputs_of(output) if 0 <= i < size]
        assert inside == gradient[0, 0].nonzero()[:, 0].tolist()
        assert gradient.max() <= 1, "each input by one tap"


@pytest.mark.parametrize(
    ("layer", "coverage", "even"),
    [
        (Conv(4, 2, 1), (2, 2), True),
        (Conv(3, 2, 1), (2, 1), False),
        (ConvTranspose(5, 2, 2), (3, 2), False),
        (ConvTranspose(6, 3), (2, 2, 2), True),
        (ConvTranspose(1, 2), (1, 0), False),
        (ConvTranspose(4, 2, 1, dilation=2), (4, 0), False),
        (ConvTranspose(4, 2, 1, dilation=3), (2, 2), True),
    ],
)
def test_a_checkerboard_is_where_positions_are_met_by_different_numbers_of_taps(
    layer, coverage, even
):
    assert layer.coverage() == coverage
    assert layer.is_even() == even
    # Far from the borders all ones become these numbers.
    x, kernel = torch.ones(1, 1, 40), torch.ones(1, 1, layer.kernel)
    y = F.conv_transpose1d(x, kernel, stride=layer.stride, dilation=layer.dilation)
    middle = y[0, 0, 20 * layer.stride : 21 * layer.stride]
    assert middle.tolist() == list(coverage)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv(0), "a kernel must be from 1 to 1,048,576, not 0"),
        (lambda: Conv(3, 0), "a stride must be"),
        (lambda: Conv(3, padding=-1), "a padding must be"),
        (lambda: Pool(3, padding=2), "at most half its kernel, 1, not 2"),
        (lambda: ConvTranspose(4, 2, output_padding=2), "less than the stride or the dilation, 2"),
        (lambda: Conv(5).output_size(4), "kernel 5, stride 1, padding 0 leaves no output of 4"),
        (lambda: ConvTranspose(2, padding=1).output_size(1), "leaves no output of 1 input"),
        (lambda: ConvTranspose(4, 600_000).output_size(9), "more than 1,048,576 outputs"),
    ],
)
def test_what_cannot_be_built_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()
