"""The table of what can be classified from which features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcgan.deconv.linear_probe.protocol import C_GRID, ProbeScores

_DEVIATIONS = 1.96  # of a normal distribution, for 95 % of the draws


@dataclass(frozen=True, eq=False)
class ProbeTable:
    """Scores of several features on the same draws of labels, and how they were computed."""

    rows: Mapping[str, ProbeScores]
    task_names: tuple[str, ...]
    protocol: Mapping[str, Any]

    def lines(self) -> list[str]:
        """The table as text, a line for each row: means over tasks and draws, in per cent, plus or
        minus 1.96 standard deviations of the draws. C is the median over tasks.
        """
        heads = ("", "features", "accuracy %", "balanced %", "draws", "C")
        cells = [heads]
        for name, scores in self.rows.items():
            cells.append(
                (
                    name,
                    "-" if scores.features is None else f"{scores.features:,}",
                    _spread(scores.accuracy),
                    _spread(scores.balanced_accuracy),
                    str(len(scores.accuracy)),
                    f"{np.median(scores.C):g}" if scores.C else "-",
                )
            )
        widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
        return [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]

    def to_json(self) -> dict[str, Any]:
        """The protocol, and the scores of every draw and task, as JSON values."""
        results = {
            name: {
                "features": scores.features,
                "C": dict(zip(self.task_names, scores.C, strict=False)),
                "accuracy": _by_task(self.task_names, scores.accuracy),
                "balanced_accuracy": _by_task(self.task_names, scores.balanced_accuracy),
            }
            for name, scores in self.rows.items()
        }
        return {"protocol": {**self.protocol, "C_grid": list(C_GRID)}, "results": results}


def _spread(scores: np.ndarray) -> str:
    """ "88.1 ± 0.6" of scores [draws, tasks] in [0, 1]."""
    draws = 100 * scores.mean(1)
    spread = f" ± {_DEVIATIONS * draws.std():.1f}" if len(draws) > 1 else ""
    return f"{draws.mean():.1f}{spread}"


def _by_task(names: tuple[str, ...], scores: np.ndarray) -> dict[str, list[float]]:
    return dict(zip(names, scores.T.round(6).tolist(), strict=True))
