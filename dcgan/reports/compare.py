"""Runs beside each other: what they draw of the same seeds, and their curves."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dcgan import images, sampling
from dcgan.config import format_flag
from dcgan.errors import UserError
from dcgan.evaluation import has_better_direction, higher_is_better
from dcgan.runs.loading import load_generator
from dcgan.runs.metrics_file import is_finite_number, read_metrics
from dcgan.runs.run_folder import find_checkpoint
from dcgan.runtime.atomic_files import replace_atomically

CURVES = ("loss_D", "loss_G", "accuracy_real", "accuracy_fake")
EVALUATED = "eval/"  # what the names of evaluated metrics begin with
# Flags that change no result.
ELSEWHERE = ("out", "data_cache", "dry_run", "device", "threads", "cuda_graphs")
SMOOTH = 0.02  # of a curve: what its running mean reaches over


@dataclass(frozen=True)
class Run:
    """A run folder, read."""

    path: Path
    name: str
    config: dict
    lines: list[dict]
    """Of its log, in order; not empty."""
    step: int
    """Of its last checkpoint."""

    def points(self, name: str, over: Callable[[dict], float]) -> tuple[np.ndarray, np.ndarray]:
        """The curve of a metric: x by `over` and y, where it was logged."""
        found = [
            (over(line), line[name]) for line in self.lines if is_finite_number(line.get(name))
        ]
        return tuple(np.array(found, float).reshape(-1, 2).T)

    def last(self, name: str) -> float:
        """The last logged value of a metric; nan where there is none."""
        return next(
            (v for x in reversed(self.lines) if is_finite_number(v := x.get(name))), math.nan
        )

    def best(self, name: str) -> float:
        """The best value of an evaluated metric; nan where there is none."""
        _, values = self.points(name, number)
        better = max if higher_is_better(name) else min
        return better(values.tolist(), default=math.nan)


def number(line: dict) -> float:
    """Images seen at a line of the log."""
    return line.get("images", line["step"])


def minutes(line: dict) -> float:
    return line.get("seconds", math.nan) / 60


def open_runs(paths: Sequence[Path]) -> list[Run]:
    """Read run folders. Raises UserError for what is none, and for one without a line of log."""
    runs = []
    for path, name in zip(paths, names(paths), strict=True):
        if path.is_file():
            raise UserError(f"{path} is a file: name the run folder")
        found = find_checkpoint(path)
        lines = read_metrics(path)
        if not lines:
            raise UserError(f"{path} has logged nothing yet")
        runs.append(Run(path, name, found.config, lines, found.step))
    return runs


def names(paths: Sequence[Path]) -> list[str]:
    """What to call the runs: as much of the end of their paths as tells them apart. UserError
    for a run that is named twice.
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
    """What differs between runs, one column each, aligned."""
    rows = [["", *(run.name for run in runs)]]
    rows.append(["steps", *(f"{run.step:,}" for run in runs)])
    rows.append(["images", *(f"{number(run.lines[-1]):,}" for run in runs)])
    rows.append(["minutes", *(shown(minutes(run.lines[-1])) for run in runs)])
    rows.append(["images/s", *(shown(rate(run)) for run in runs)])
    for metric in (*CURVES, *evaluated(runs)):
        rows.append([f"{metric}, last", *(shown(run.last(metric)) for run in runs)])
    for metric in filter(has_better_direction, evaluated(runs)):
        rows.append([f"{metric}, best", *(shown(run.best(metric)) for run in runs)])
    rows += [[name, *map(plain, values)] for name, values in differing(runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def rate(run: Run) -> float:
    """Images per second over the whole run."""
    seconds = run.lines[-1].get("seconds", 0)
    return number(run.lines[-1]) / seconds if seconds else math.nan


def shown(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"


def plain(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def evaluated(runs: Sequence[Run]) -> list[str]:
    """The evaluated metrics that any of the runs has logged."""
    return sorted({n for run in runs for x in run.lines for n in x if n.startswith(EVALUATED)})


def differing(runs: Sequence[Run]) -> list[tuple[str, list]]:
    """The flags whose values are not the same in all runs."""
    every = {name: None for run in runs for name in run.config if name not in ELSEWHERE}
    rows = [(format_flag(name), [run.config.get(name) for run in runs]) for name in every]
    return [(name, values) for name, values in rows if any(v != values[0] for v in values)]


# The picture


def save_comparison(path: Path, runs: Sequence[Run], seeds: Sequence[int], device) -> None:
    """Write the grids of the same seeds, and the curves over images and over minutes, as PNG."""
    generators = [load_generator(run.path, device=device) for run in runs]
    for G in generators:
        sampling.check_grid_size(G, len(seeds))
    grids = [sampling.sample_grid(G, seeds) for G in generators]
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    metrics = [*CURVES, *evaluated(runs)]
    columns = min(len(runs), 4)
    rows = math.ceil(len(runs) / columns)
    heights = [4.2] * rows, [2.2] * len(metrics)
    figure = plt.figure(figsize=(14, sum(map(sum, heights)) + 0.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[sum(part) for part in heights])
    axes = above.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, run, grid in zip(axes, runs, grids, strict=False):
        grey = dict(cmap="gray", vmin=0, vmax=255)
        axis.imshow(images.to_pil(grid), interpolation="nearest", **grey)
        axis.set_title(f"{run.name}, step {run.step:,}", parse_math=False)
    sides = (("images", number), ("minutes", minutes))
    axes = below.subplots(len(metrics), 2, squeeze=False, sharex="col", sharey="row")
    for row, metric in zip(axes, metrics, strict=True):
        row[0].set_ylabel(metric, parse_math=False)
        for axis, (_, over) in zip(row, sides, strict=True):
            for i, run in enumerate(runs):
                draw(axis, *run.points(metric, over), f"C{i}", metric)
            axis.grid(alpha=0.3)
    for axis, (what, _) in zip(axes[-1], sides, strict=True):
        axis.set_xlabel(what)
    lines = [plt.Line2D([], [], color=f"C{i}") for i in range(len(runs))]
    # matplotlib leaves names that begin with "_" out, and reads what stands between dollars as TeX.
    legend = axes[0, 0].legend(lines, map(str, range(len(runs))))
    for text, run in zip(legend.get_texts(), runs, strict=True):
        text.set(text=run.name, parse_math=False)
    with replace_atomically(path, durable=False) as partial:
        figure.savefig(partial, format="png", dpi=80)
    plt.close(figure)


def draw(axis, x: np.ndarray, y: np.ndarray, colour: str, metric: str) -> None:
    """One curve: what is evaluated as its points, what is logged often as its running mean too."""
    if metric.startswith(EVALUATED) or not len(y):
        axis.plot(x, y, ".-", color=colour)
        return
    reach = max(int(SMOOTH * len(y)), 1)
    axis.plot(x, y, color=colour, alpha=0.25, linewidth=0.8)
    kernel, inside = np.ones(2 * reach + 1), slice(reach, reach + len(y))
    # At the ends the mean is of what is there.
    mean = np.convolve(y, kernel)[inside] / np.convolve(np.ones(len(y)), kernel)[inside]
    axis.plot(x, mean, color=colour)
