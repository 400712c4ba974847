"""`dcgan compare`: runs beside each other, by their samples of the same seeds and their curves."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dcgan import images, sampling
from dcgan.config import format_flag, require_ending
from dcgan.config.validation import to_path
from dcgan.errors import UserError, printable
from dcgan.evaluation import has_better_direction, higher_is_better
from dcgan.runs.checkpoint_folder import find_checkpoint, run_folder
from dcgan.runs.loading import load_generator
from dcgan.runs.metrics_file import is_finite_number, read_metrics
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.disk import check_writable
from dcgan.runtime.picture_mark import OUTPUT_MARK

_CURVES = ("loss_D", "loss_G", "accuracy_real", "accuracy_fake")
_EVALUATION_PREFIX = "eval/"  # of the names of evaluated metrics
# Options that do not change the result.
_IRRELEVANT_OPTIONS = ("out", "data_cache", "dry_run", "device", "threads", "cuda_graphs")
_SMOOTHING = 0.02  # share of a curve on each side of a point that its running mean covers


@dataclass(frozen=True)
class Run:
    """The contents of a run folder that are compared."""

    path: Path
    name: str
    config: dict
    lines: list[dict]
    """The lines of metrics.jsonl, in order; not empty."""
    step: int
    """The step of the last checkpoint."""

    def curve(self, name: str, x_of: Callable[[dict], float]) -> tuple[np.ndarray, np.ndarray]:
        """The points of a metric, x [n] by `x_of` and y [n], at the lines that have it."""
        found = [
            (x_of(line), line[name]) for line in self.lines if is_finite_number(line.get(name))
        ]
        points = np.array(found, float).reshape(-1, 2)
        return points[:, 0], points[:, 1]

    def last_value(self, name: str) -> float:
        """The last logged value of a metric; NaN if there is none."""
        return next(
            (v for x in reversed(self.lines) if is_finite_number(v := x.get(name))), math.nan
        )

    def best_value(self, name: str) -> float:
        """The best value of an evaluated metric; NaN if there is none."""
        _, values = self.curve(name, _images)
        better = max if higher_is_better(name) else min
        return better(values.tolist(), default=math.nan)


def _images(line: dict) -> float:
    """Real images that D has seen at a line of the log."""
    return line.get("images", line["step"])


def _minutes(line: dict) -> float:
    return line.get("seconds", math.nan) / 60


def open_runs(paths: Sequence[Path]) -> list[Run]:
    """Read run folders. Raises UserError for other paths and for runs that have logged nothing."""
    runs, paths = [], [run_folder(to_path(path)) for path in paths]
    for path, name in zip(paths, _short_names(paths), strict=True):
        if path.is_file():
            raise UserError(f"{path} is a file: name the run folder")
        found = find_checkpoint(path)
        lines = read_metrics(path)
        if not lines:
            raise UserError(f"{path} has logged nothing yet")
        runs.append(Run(path, name, found.config, lines, found.step))
    return runs


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as tell them apart.

    Raises UserError for a run that is named twice.
    """
    places = [Path(path).resolve() for path in paths]
    for i, path in enumerate(paths):
        if places.index(places[i]) < i:
            raise UserError(f"{path} is named twice: a run is not compared with itself")
    parts = [Path(path).absolute().parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        short = ["/".join(p[-length:]) for p in parts]
        if len(set(short)) == len(short):
            return short
    raise AssertionError("different paths differ in their parts")


# The table


def format_table(runs: Sequence[Run]) -> str:
    """A table with a column for each run: progress, metrics, and the options that differ."""
    rows = [["", *(run.name for run in runs)]]
    rows.append(["steps", *(f"{run.step:,}" for run in runs)])
    rows.append(["images", *(f"{_images(run.lines[-1]):,}" for run in runs)])
    rows.append(["minutes", *(_format_number(_minutes(run.lines[-1])) for run in runs)])
    rows.append(["images/s", *(_format_number(_images_per_second(run)) for run in runs)])
    for metric in (*_CURVES, *_evaluated_metrics(runs)):
        rows.append([f"{metric}, last", *(_format_number(run.last_value(metric)) for run in runs)])
    for metric in filter(has_better_direction, _evaluated_metrics(runs)):
        rows.append([f"{metric}, best", *(_format_number(run.best_value(metric)) for run in runs)])
    rows += [
        [name, *map(_format_option_value, values)] for name, values in _differing_options(runs)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _images_per_second(run: Run) -> float:
    """Images per second over the whole run."""
    seconds = run.lines[-1].get("seconds", 0)
    return _images(run.lines[-1]) / seconds if seconds else math.nan


def _format_number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"


def _format_option_value(value: object) -> str:
    return printable(value) if isinstance(value, str) else json.dumps(value)


def _evaluated_metrics(runs: Sequence[Run]) -> list[str]:
    """Names of the evaluated metrics that any of the runs has logged, sorted."""
    return sorted(
        {n for run in runs for x in run.lines for n in x if n.startswith(_EVALUATION_PREFIX)}
    )


def _differing_options(runs: Sequence[Run]) -> list[tuple[str, list]]:
    """Flags whose values differ between the runs, with the value of each run."""
    names = {name: None for run in runs for name in run.config if name not in _IRRELEVANT_OPTIONS}
    rows = [(format_flag(name), [run.config.get(name) for run in runs]) for name in names]
    return [(name, values) for name, values in rows if any(v != values[0] for v in values)]


# The picture


def save_comparison(
    path: Path, runs: Sequence[Run], seeds: Sequence[int], device: torch.device | str
) -> None:
    """Write a PNG of the runs' samples of the same seeds and of their curves.

    Curves are plotted over images and over minutes. Raises UsageError unless `path` ends in .png,
    and for grids that are too large.
    """
    require_ending(path, ".png", "out")
    check_writable(path)
    generators = [load_generator(run.path, device=device) for run in runs]
    for G in generators:
        sampling.check_grid_size(G, len(seeds))
    grids = [sampling.sample_grid(G, seeds) for G in generators]
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    metrics = [*_CURVES, *_evaluated_metrics(runs)]
    columns = min(len(runs), 4)
    rows = math.ceil(len(runs) / columns)
    heights = [4.2] * rows, [2.2] * len(metrics)
    figure = plt.figure(figsize=(14, sum(map(sum, heights)) + 0.6), layout="constrained")
    ratios = [sum(part) for part in heights]
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=ratios).ravel()
    axes = above.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, run, grid in zip(axes, runs, grids, strict=False):
        grey = dict(cmap="gray", vmin=0, vmax=255)
        axis.imshow(images.to_pil(grid), interpolation="nearest", **grey)
        axis.set_title(f"{run.name}, step {run.step:,}", parse_math=False)
    sides = (("images", _images), ("minutes", _minutes))
    axes = below.subplots(len(metrics), 2, squeeze=False, sharex="col", sharey="row")
    for row, metric in zip(axes, metrics, strict=True):
        row[0].set_ylabel(metric, parse_math=False)
        for axis, (_, x_of) in zip(row, sides, strict=True):
            for i, run in enumerate(runs):
                _draw_curve(axis, *run.curve(metric, x_of), f"C{i}", metric)
            axis.grid(alpha=0.3)
    for axis, (what, _) in zip(axes[-1], sides, strict=True):
        axis.set_xlabel(what)
    lines = [plt.Line2D([], [], color=f"C{i}") for i in range(len(runs))]
    # matplotlib leaves out names that begin with "_", and reads text between dollars as TeX.
    legend = axes[0, 0].legend(lines, map(str, range(len(runs))))
    for text, run in zip(legend.get_texts(), runs, strict=True):
        text.set(text=run.name, parse_math=False)
    with replace_atomically(path, durable=False) as partial:
        figure.savefig(partial, format="png", dpi=80, metadata={"Comment": OUTPUT_MARK})
    plt.close(figure)


def _draw_curve(axis, x: np.ndarray, y: np.ndarray, color: str, metric: str) -> None:
    """Draw one curve: evaluations as points, other metrics thin, with their running mean."""
    if metric.startswith(_EVALUATION_PREFIX) or not len(y):
        axis.plot(x, y, ".-", color=color)
        return
    reach = max(int(_SMOOTHING * len(y)), 1)
    axis.plot(x, y, color=color, alpha=0.25, linewidth=0.8)
    kernel, inside = np.ones(2 * reach + 1), slice(reach, reach + len(y))
    # At the ends the mean is over fewer points.
    mean = np.convolve(y, kernel)[inside] / np.convolve(np.ones(len(y)), kernel)[inside]
    axis.plot(x, mean, color=color)
