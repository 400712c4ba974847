"""Projections of units and of whole maps to the image."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dcgan.config import VisualizeConfig
from dcgan.deconv.visualize.layers import Layer
from dcgan.deconv.visualize.rules import BackwardRules, Method, check_rules
from dcgan.deconv.visualize.tracing import differentiating
from dcgan.errors import UsageError

METHODS = ("guided", "deconvnet", "gradient")
_MAX_BATCH = 64
_MAX_BATCH_PIXELS = 2**18  # 64 images of 64x64, 5 of 224x224


def project(
    layer: Layer,
    x: Tensor,
    units: int | Sequence[int] | Tensor,
    method: Method = VisualizeConfig.method,
    positions: Tensor | None = None,
    whole: bool = False,
) -> Tensor:
    """The projection of one unit (channel) of a layer for each image: [N, C, H, W] like x.

    Signals go back by the rules of `method`, see `rules`, from the unit at one position: at that of
    `positions` [N, 2] (row, column), by default where it is strongest. All others of the layer are
    zero. The signal is 1, so that "gradient" is the derivative of the unit; Zeiler and Fergus send
    the activation itself, which scales the picture by it. With `whole`, all positions of the
    channel send their activations at once.

    Raises UsageError for an unknown method or unit, UserError for operations that the method has no
    rule for.
    """
    if method not in METHODS:
        raise UsageError(f"--method must be one of {', '.join(METHODS)}, not {method}")
    if whole and positions is not None:
        raise UsageError("a whole map is projected from all positions: leave positions out")
    numbers = torch.as_tensor(units).reshape(-1).tolist()
    if len(numbers) == 1:
        numbers *= len(x)
    if len(numbers) != len(x):
        raise UsageError(f"{len(numbers)} units for {len(x)} images: give one each, or one for all")
    layer.check_units(numbers)
    if positions is not None:
        _check_positions(layer, positions, len(x))
    parts = [
        _project_batch(
            *(layer, x[part], numbers[part], method),
            *(None if positions is None else positions[part], whole),
        )
        for part in batches(len(x), *layer.input_shape[-2:])
    ]
    return torch.cat(parts) if parts else torch.zeros_like(x)


def batches(count: int, height: int, width: int) -> Iterator[slice]:
    """Slices of `count` images of one size, to be computed at a time: 64 down to 1 image."""
    step = min(_MAX_BATCH, max(1, _MAX_BATCH_PIXELS // (height * width)))
    return (slice(start, start + step) for start in range(0, count, step))


def strongest_positions(maps: Tensor) -> tuple[Tensor, Tensor]:
    """The largest value of every map, [N, C], and where it is: [N, C, 2] (row, column)."""
    values, places = maps.flatten(2).max(2)
    width = maps.shape[3]
    return values, torch.stack([places // width, places % width], -1)


def _check_positions(layer: Layer, positions: Tensor, count: int) -> None:
    _, height, width = layer.shape
    if positions.shape != (count, 2):
        raise UsageError(f"positions must be [{count}, 2], not {list(positions.shape)}")
    for row, column in positions.tolist():
        if not (0 <= row < height and 0 <= column < width):
            raise UsageError(
                f"position ({row}, {column}) is not on the maps of {layer.title}, {height}x{width}"
            )


def _project_batch(
    layer: Layer,
    x: Tensor,
    units: list[int],
    method: Method,
    positions: Tensor | None,
    whole: bool,
) -> Tensor:
    with differentiating(layer.network), BackwardRules(method):
        leaf = x.detach().clone().requires_grad_()
        maps = layer.compute(leaf.clone())  # which a network may change in place
    check_rules(maps, layer.title, method)
    if maps.grad_fn is None:
        raise UsageError(f"layer {layer.title} does not depend on the image by a derivative")
    images = torch.arange(len(x), device=maps.device)
    chosen = maps.detach()[images, torch.tensor(units, device=maps.device)]  # [N, h, w]
    if whole:
        signal = chosen
    else:
        if positions is None:
            places = strongest_positions(chosen[:, None])[1][:, 0]
        else:
            places = positions.to(maps.device, torch.int64)
        signal = torch.zeros_like(chosen)
        signal[images, places[:, 0], places[:, 1]] = 1
    signals = torch.zeros_like(maps)
    signals[images, torch.tensor(units, device=maps.device)] = signal
    # Under the rules too: what a network computes again for the backward pass goes by them.
    with BackwardRules(method):
        (projection,) = torch.autograd.grad(maps, leaf, signals)
    return projection
