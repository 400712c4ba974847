"""A picture of which positions of the maps of a stack of layers are read and reached, how often."""

from collections.abc import Sequence

import numpy as np

from dcgan.errors import UsageError
from dcgan.sizes import Layer, Layer2d, output_sizes, path_counts

_MAX_LAYERS = 24
_MAX_SIDE = 2048  # positions of a map
_COLUMN_INCHES, _ROW_INCHES, _DPI = 2.4, 2.7, 100


def draw_coverage(layers: Sequence[Layer2d], size: tuple[int, int]) -> np.ndarray:
    """A column for each layer -> uint8 [H, W, 3].

    Above, its input: how many outputs of the layer read each position. Below, its output: by how
    many paths the input of the whole stack, of `size` (height, width), reaches each position. A
    pattern that repeats far from the borders is a checkerboard. Raises UsageError for more than 24
    layers, and for maps of more than 2,048 positions a side.
    """
    if len(layers) > _MAX_LAYERS:
        raise UsageError(f"a picture shows at most {_MAX_LAYERS} layers, not {len(layers)}")
    sizes = [output_sizes([layer.axes[axis] for layer in layers], size[axis]) for axis in (0, 1)]
    largest = max(*size, *sizes[0], *sizes[1])
    if largest > _MAX_SIDE:
        raise UsageError(
            f"a picture shows maps of at most {_MAX_SIDE:,} positions a side, not {largest:,}"
        )
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        (_COLUMN_INCHES * max(2, len(layers)), 2 * _ROW_INCHES), dpi=_DPI, layout="constrained"
    )
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(layers), squeeze=False)
    reads = [_reads([layer.axes[axis] for layer in layers], size[axis]) for axis in (0, 1)]
    reached = [_reached([layer.axes[axis] for layer in layers], size[axis]) for axis in (0, 1)]
    for column, layer in enumerate(layers):
        for row, counts in ((0, reads), (1, reached)):
            shown = axes[row, column]
            heat = np.outer(counts[0][column], counts[1][column])
            image = shown.imshow(heat, cmap="viridis", vmin=0, interpolation="nearest")
            figure.colorbar(image, ax=shown, shrink=0.6)
            shown.set_xlabel(f"{heat.shape[0]}x{heat.shape[1]}", fontsize=8)
            shown.set_xticks([])
            shown.set_yticks([])
        axes[0, column].set_title(layer.text, fontsize=8, parse_math=False)
    axes[0, 0].set_ylabel("input: outputs that read it", fontsize=8)
    axes[1, 0].set_ylabel("output: paths to it", fontsize=8)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _reads(layers: Sequence[Layer], size: int) -> list[np.ndarray]:
    """For each layer and each position of its input: how many outputs read it."""
    counts = []
    for layer in layers:
        counts.append(path_counts([layer], size).sum(0))
        size = layer.output_size(size)
    return counts


def _reached(layers: Sequence[Layer], size: int) -> list[np.ndarray]:
    """For each layer and each position of its output: how many paths reach it."""
    return [path_counts(layers[: count + 1], size).sum(1) for count in range(len(layers))]
