"""The picture of `dcgan sparse`: filters, images beside their reconstructions, and the energy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan import images

_DPI = 100
_PANEL_INCHES, _CELL_INCHES = 5.0, 1.25


@dataclass(frozen=True, eq=False)
class Column:
    """Images under a title."""

    title: str
    pictures: Tensor
    """[N, C, H, W]; black is -1 and white is 1."""


def draw_filters(filters: Tensor) -> np.ndarray:
    """Filters [K, C, h, w] on white, each scaled by its largest magnitude: uint8 [H, W, C].

    Zero is grey. Filters of other than 1 or 3 channels are shown as the root of their energy.
    """
    if filters.shape[1] not in (1, 3):
        filters = filters.square().sum(1, keepdim=True).sqrt()
    largest = filters.abs().amax((1, 2, 3), keepdim=True)
    scaled = filters / largest.clamp(min=torch.finfo(filters.dtype).tiny)
    return images.make_grid(images.to_uint8(scaled).cpu().numpy(), gap=1)


def draw_sparse(
    filters: Tensor, columns: Sequence[Column], energies: Sequence[float]
) -> np.ndarray:
    """Filters, columns of images, and energies [2 rounds + 1] as one picture, uint8 [H, W, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = len(columns[0].pictures)
    widths = [_PANEL_INCHES, _CELL_INCHES * len(columns), _PANEL_INCHES]
    figure = Figure((sum(widths), _PANEL_INCHES + 0.3), dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, middle, right = figure.subfigures(1, 3, squeeze=False, width_ratios=widths)[0]
    shown = left.subplots()
    _show(shown, draw_filters(filters))
    height, width = filters.shape[2:]
    shown.set_title(f"{len(filters)} filters of {height}x{width}", fontsize=10)
    axes = middle.subplots(rows, len(columns), squeeze=False)
    for number, column in enumerate(columns):
        axes[0, number].set_title(column.title, fontsize=9)
        for row, picture in enumerate(images.to_uint8(column.pictures).cpu().numpy()):
            _show(axes[row, number], picture)
    curve = right.subplots()
    rounds = np.arange(len(energies)) / 2
    curve.plot(rounds, energies, color="#245496", marker="." if len(energies) < 100 else None)
    curve.set_yscale("log")
    curve.set_xlabel("round")
    curve.set_title("energy of the images learnt from", fontsize=10)
    curve.grid(True, which="both", alpha=0.3)
    lowest, highest = min(energies), max(energies)
    if lowest > 0 and math.isfinite(highest):
        curve.set_ylim(lowest * 0.9, highest * 1.1)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _show(axes, image: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    grey = image.shape[2] == 1
    shown = image[..., 0] if grey else image
    axes.imshow(shown, cmap="gray" if grey else None, vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()
