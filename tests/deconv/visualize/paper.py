"""Zeiler and Fergus 2013, section 2.1, written down directly, and random networks to try it on.

Nothing here uses autograd, `max_pool2d` or `max_unpool2d`: kernels are products with unfolded
windows, pooling is a maximum over them, and unpooling adds up at the places of the maxima.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn


@dataclass
class Step:
    """A layer of the deconvnet: the module, its input, and the switches of a pooling."""

    module: nn.Module
    x: Tensor
    switches: Tensor | None = None


def forward(layers: list[nn.Module], x: Tensor) -> tuple[list[Step], Tensor]:
    steps = []
    for layer in layers:
        step = Step(layer, x)
        if isinstance(layer, nn.Conv2d):
            x = convolve(layer, x)
        elif isinstance(layer, nn.MaxPool2d):
            x, step.switches = pool(layer, x)
        elif isinstance(layer, nn.BatchNorm2d):
            scale, shift = scale_of(layer)
            x = x * scale[:, None, None] + shift[:, None, None]
        elif isinstance(layer, nn.ReLU | nn.LeakyReLU):
            x = torch.where(x > 0, x, slope_of(layer) * x)
        steps.append(step)
    return steps, x


def project(steps: list[Step], signal: Tensor, guided: bool = False) -> Tensor:
    """The signal of the last layer, sent back to the image."""
    for step in reversed(steps):
        layer = step.module
        if isinstance(layer, nn.Conv2d):
            signal = transpose(layer, signal, step.x.shape)
        elif isinstance(layer, nn.MaxPool2d):
            signal = unpool(signal, step.switches, step.x.shape)
        elif isinstance(layer, nn.BatchNorm2d):
            signal = signal * scale_of(layer)[0][:, None, None]
        elif isinstance(layer, nn.ReLU | nn.LeakyReLU):
            slope = slope_of(layer)
            signal = torch.where(signal > 0, signal, slope * signal)
            if guided:
                signal = signal * torch.where(step.x > 0, torch.ones_like(step.x), slope)
    return signal


def slope_of(layer: nn.Module) -> float:
    return layer.negative_slope if isinstance(layer, nn.LeakyReLU) else 0.0


def scale_of(layer: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    scale = layer.weight / (layer.running_var + layer.eps).sqrt()
    return scale, layer.bias - layer.running_mean * scale


def convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
    windows = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    out = layer.weight.flatten(1) @ windows + layer.bias[:, None]
    return out.unflatten(2, size_of(layer, x, ceil=False))


def transpose(layer: nn.Conv2d, signal: Tensor, shape: torch.Size) -> Tensor:
    windows = layer.weight.flatten(1).T @ signal.flatten(2)
    return F.fold(
        windows, shape[2:], layer.kernel_size, layer.dilation, layer.padding, layer.stride
    )


def pool(layer: nn.MaxPool2d, x: Tensor) -> tuple[Tensor, Tensor]:
    """The maxima, and the places of the maxima on the flattened input."""
    kernel, stride, padding, dilation = (
        pair(n) for n in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    )
    size = size_of(layer, x, layer.ceil_mode)
    out = x.new_empty(*x.shape[:2], *size)
    switches = torch.empty(out.shape, dtype=torch.int64)
    height, width = x.shape[2:]
    for row in range(size[0]):
        for column in range(size[1]):
            rows = [row * stride[0] - padding[0] + i * dilation[0] for i in range(kernel[0])]
            columns = [column * stride[1] - padding[1] + i * dilation[1] for i in range(kernel[1])]
            places = [
                r * width + c for r in rows for c in columns if 0 <= r < height if 0 <= c < width
            ]
            best = x.flatten(2)[..., places].max(2)
            out[..., row, column] = best.values
            switches[..., row, column] = torch.tensor(places)[best.indices]
    return out, switches


def unpool(signal: Tensor, switches: Tensor | None, shape: torch.Size) -> Tensor:
    assert switches is not None
    flat = signal.new_zeros(shape).flatten(2)
    return flat.scatter_add_(2, switches.flatten(2), signal.flatten(2)).view(shape)


def size_of(layer: nn.Conv2d | nn.MaxPool2d, x: Tensor, ceil: bool) -> tuple[int, int]:
    sizes = []
    for axis in (0, 1):
        kernel, stride, padding, dilation = (
            pair(n)[axis] for n in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        )
        room = x.shape[2 + axis] + 2 * padding - dilation * (kernel - 1) - 1
        size = -(-room // stride) + 1 if ceil else room // stride + 1
        if ceil and (size - 1) * stride >= x.shape[2 + axis] + padding:
            size -= 1
        sizes.append(size)
    return sizes[0], sizes[1]


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


@st.composite
def networks(draw, leaky: bool = True) -> nn.Sequential:
    """Random chains of double precision in evaluation mode for images of 2 x 17 x 14."""
    torch.manual_seed(draw(st.integers(0, 999)))  # of the weights
    layers: list[nn.Module] = []
    channels, sides = 2, [17, 14]
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "conv", "conv", "pool"]))
        kernel = tuple(draw(st.integers(1, 4)) for _ in range(2))
        stride = tuple(draw(st.integers(1, 3)) for _ in range(2))
        dilation = tuple(draw(st.integers(1, 2)) for _ in range(2))
        if kind == "conv":
            padding = tuple(draw(st.integers(0, 2)) for _ in range(2))
            out = draw(st.integers(1, 4))
            layer: nn.Module = nn.Conv2d(channels, out, kernel, stride, padding, dilation)
        else:
            padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
            ceil = draw(st.booleans())
            layer, out = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil), channels
        try:
            with torch.no_grad():
                maps = layer(torch.zeros(1, channels, *sides))
        except RuntimeError:  # no output
            continue
        if not maps.isfinite().all():  # a window of a pooling that lies in the padding
            continue
        sides = list(maps.shape[2:])
        channels = out
        layers.append(layer)
        if draw(st.booleans()):
            norm = nn.BatchNorm2d(channels)
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            layers.append(norm)
        in_place = draw(st.booleans())
        slope = draw(st.sampled_from([0.0, 0.2, 1.0])) if leaky else 0.0
        layers.append(nn.LeakyReLU(slope, in_place) if slope else nn.ReLU(in_place))
    if not layers:
        layers = [nn.Conv2d(2, 3, 3)]
    return nn.Sequential(*layers).double().eval().requires_grad_(False)
