"""Receptive fields and paths of random stacks against gradients by PyTorch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dcgan.errors import UsageError
from dcgan.sizes import (
    Conv,
    ConvTranspose,
    Pool,
    inputs_of,
    output_sizes,
    path_counts,
    receptive_field,
)


@st.composite
def layers(draw, transposed=True):
    kernel, dilation = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    stride, padding = draw(st.integers(1, 3)), draw(st.integers(0, 4))
    kind = draw(st.sampled_from([Conv, Pool, ConvTranspose][: 3 if transposed else 2]))
    if kind is Pool:
        return Pool(kernel, stride, min(padding, kernel // 2), dilation)
    if kind is Conv:
        return Conv(kernel, stride, padding, dilation)
    output_padding = draw(st.integers(0, stride - 1))
    return ConvTranspose(kernel, stride, padding, dilation, output_padding)


def sum_of_paths(stack, x: torch.Tensor) -> torch.Tensor:
    """The stack by PyTorch with all weights 1: poolings too are sums here."""
    for layer in stack:
        ones = torch.ones(1, 1, layer.kernel, dtype=x.dtype)
        window = dict(stride=layer.stride, padding=layer.padding, dilation=layer.dilation)
        if isinstance(layer, ConvTranspose):
            x = F.conv_transpose1d(x, ones, output_padding=layer.output_padding, **window)
        else:
            x = F.conv1d(x, ones, **window)
    return x


@settings(max_examples=150, deadline=None)
@given(st.lists(layers(), min_size=1, max_size=4), st.integers(1, 24))
def test_paths_are_the_jacobian_of_ones(stack, size):
    try:
        last = output_sizes(stack, size)[-1]
    except UsageError:
        assume(False)
    assume(last <= 300)
    identity = torch.eye(size, dtype=torch.float64)[:, None]
    expected = sum_of_paths(stack, identity)[:, 0].T
    np.testing.assert_array_equal(path_counts(stack, size), expected.numpy())


@settings(max_examples=150, deadline=None)
@given(st.lists(layers(), min_size=1, max_size=4), st.integers(0, 100))
def test_the_field_of_an_output_is_where_its_gradient_is(stack, place):
    """On an input so large that the borders are far away, shifted to begin at 0."""
    size = 400
    try:
        outputs = output_sizes(stack, size)[-1]
    except UsageError:
        assume(False)
    x = torch.zeros(1, 1, size, dtype=torch.float64, requires_grad=True)
    output = outputs // 2 + place % max(outputs // 4, 1)
    y = sum_of_paths(stack, x)
    (gradient,) = torch.autograd.grad(y[0, 0, output], x)
    found, expected = inputs_of(stack, output), gradient[0, 0].nonzero()[:, 0].numpy()
    assume(expected.size == 0 or (expected[0] > 0 and expected[-1] < size - 1))
    np.testing.assert_array_equal(found, expected)
    field = receptive_field(stack)
    if found.size:
        assert np.ptp(found) + 1 <= field.size


@settings(max_examples=150, deadline=None)
@given(st.lists(layers(transposed=False), min_size=1, max_size=5))
def test_convolutions_alone_have_the_field_of_the_closed_form(stack):
    """Araujo et al. 2019, equations 2 to 4."""
    field = receptive_field(stack)
    strides = np.cumprod([1, *(layer.stride for layer in stack)])
    size = 1 + sum((layer.extent - 1) * strides[i] for i, layer in enumerate(stack))
    padding = sum(layer.padding * strides[i] for i, layer in enumerate(stack))
    assert (field.size, field.stride, field.padding) == (size, strides[-1], padding)
    assert field.centre == (size - 1) / 2 - padding


def test_known_networks():
    """PatchGAN of Isola et al. 2017 (70), VGG16 to pool5 (212), FCN-32s (404; Long et al. 2015)."""
    patch = [Conv(4, 2, 1)] * 3 + [Conv(4, 1, 1)] * 2
    assert receptive_field(patch).size == 70
    vgg = []
    for convolutions in (2, 2, 3, 3, 3):
        vgg += [Conv(3, 1, 1)] * convolutions + [Pool(2, 2, ceil=True)]  # as Caffe's
    assert receptive_field(vgg).size == 212
    fcn = [Conv(3, 1, 100), *vgg[1:], Conv(7), Conv(1), Conv(1)]
    assert receptive_field(fcn).size == 404
    assert receptive_field([*fcn, ConvTranspose(64, 32)]).stride == 1
    assert output_sizes(fcn, 500)[-1] == 16
    assert output_sizes([*fcn, ConvTranspose(64, 32)], 500)[-1] == 544  # cropped to 500 by 19


def test_the_middle_of_the_first_output_is_where_bilinear_upsampling_puts_it():
    """Twice the size: PyTorch's align_corners=False reads (o + 0.5) / 2 - 0.5."""
    field = receptive_field([ConvTranspose(4, 2, 1)])
    assert (field.centre, field.stride) == (-0.25, 0.5)


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        ([ConvTranspose(2, 35), ConvTranspose(2, 35)], "enlarge by 1,225"),
        ([Conv(60_000), Conv(60_000)], "more than 262,144 taps"),
    ],
)
def test_fields_that_cannot_be_counted_are_refused(stack, message):
    with pytest.raises(UsageError, match=message):
        receptive_field(stack)
    with pytest.raises(UsageError, match="too large to count paths"):
        path_counts([Conv(1)], 65_536)
