"""Stacks of two-dimensional layers written as text: "conv 64 4 2 1, deconv 3 4 2 1"."""

import re
from dataclasses import dataclass

from dcgan.errors import UsageError
from dcgan.sizes.layers import LIMIT, Conv, ConvTranspose, Layer, Pool

_KINDS: dict[str, type[Layer]] = {
    "conv": Conv,
    "deconv": ConvTranspose,
    "maxpool": Pool,
    "avgpool": Pool,
}
_POSITIONAL = ("kernel", "stride", "padding")
_NAMED = (*_POSITIONAL, "dilation", "output_padding")
_MAX_LAYERS = 1000


@dataclass(frozen=True)
class Layer2d:
    """A layer of a stack: `axes` are its sizes along height and width.

    `channels` of the output; None for poolings, which keep them.
    """

    text: str
    channels: int | None
    axes: tuple[Layer, Layer]


def parse_layers(text: str) -> list[Layer2d]:
    """Layers separated by commas: "KIND [CHANNELS] KERNEL [STRIDE] [PADDING] [NAME=NUMBER ...]".

    KIND: conv and deconv (a transposed convolution), with CHANNELS; maxpool and avgpool, without.
    The stride is 1 by default, that of poolings their kernel; the padding 0. NAME: dilation,
    output_padding, or one of those before. Poolings take the word `ceil`, and avgpool no dilation,
    as in PyTorch. A number may be two, of height and width: 3x1. Raises UsageError that names the
    layer.
    """
    layers = [_parse_layer(" ".join(part.split())) for part in re.split(r"[,;\n]", text)]
    if len(layers) > _MAX_LAYERS:
        raise UsageError(f"{len(layers):,} layers are more than {_MAX_LAYERS:,}")
    return layers


def parse_size(text: str) -> tuple[int, int]:
    """Height and width: "64" or "48x64". Raises UsageError."""
    height, width = _pair(text, f"{text!r}")
    for side in (height, width):
        if not 1 <= side <= LIMIT:
            raise UsageError(f"{text!r}: a side must be from 1 to {LIMIT:,}")
    return height, width


def _parse_layer(text: str) -> Layer2d:
    if not text:
        raise UsageError("a layer is empty: there is a comma too many")
    kind, *words = text.lower().split()
    if kind not in _KINDS:
        raise UsageError(f"layer {text!r}: it must begin with one of {', '.join(_KINDS)}")
    layer = _KINDS[kind]
    ceil = "ceil" in words
    words = [word for word in words if word != "ceil"]
    options = [word.split("=", 1) for word in words if "=" in word]
    numbers = [word for word in words if "=" not in word]
    channels = None
    if layer is not Pool:
        if not numbers:
            raise UsageError(f"layer {text!r}: the number of channels is missing, then the kernel")
        height, width = _pair(numbers.pop(0), f"layer {text!r}")
        if height != width or not 1 <= height <= LIMIT:
            raise UsageError(f"layer {text!r}: channels must be one number from 1 to {LIMIT:,}")
        channels = height
    if len(numbers) > len(_POSITIONAL):
        raise UsageError(
            f"layer {text!r}: at most {', '.join(_POSITIONAL)} stand without a name, "
            f"{numbers[-1]!r} is one too many"
        )
    named = dict(zip(_POSITIONAL, numbers, strict=False))
    for name, value in options:
        if name not in _NAMED:
            raise UsageError(f"layer {text!r}: there is no {name!r}, only {', '.join(_NAMED)}")
        if name in named:
            raise UsageError(f"layer {text!r}: the {name} is given twice")
        named[name] = value
    if "kernel" not in named:
        raise UsageError(f"layer {text!r}: the kernel is missing")
    if "output_padding" in named and layer is not ConvTranspose:
        raise UsageError(f"layer {text!r}: only a deconv has an output_padding")
    if "dilation" in named and kind == "avgpool":
        raise UsageError(f"layer {text!r}: an average pooling has no dilation")
    if ceil and layer is not Pool:
        raise UsageError(f"layer {text!r}: only a pooling can be ceil")
    if layer is Pool:
        named.setdefault("stride", named["kernel"])
    pairs = {name: _pair(value, f"layer {text!r}") for name, value in named.items()}
    rounding = {"ceil": True} if ceil else {}
    try:
        of_height, of_width = (
            layer(**{name: pair[axis] for name, pair in pairs.items()}, **rounding)
            for axis in (0, 1)
        )
    except UsageError as error:
        raise UsageError(f"layer {text!r}: {error}") from None
    return Layer2d(text, channels, (of_height, of_width))


def _pair(word: str, where: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", word)
    if not found:
        raise UsageError(f"{where}: {word!r} is no whole number, and no two like 3x1")
    return int(found[1]), int(found[2] or found[1])
