"""metrics.jsonl: one JSON object per logged step."""

import itertools
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dcgan.errors import UserError
from dcgan.runs.layout import METRICS_FILE
from dcgan.runtime.atomic_files import replace_atomically


def read_metrics(run: Path) -> list[dict]:
    """The lines of a run's log, oldest first; damaged lines are left out.

    Raises UserError if there is no log.
    """
    path, lines = Path(run) / METRICS_FILE, []
    if not path.is_file():
        raise UserError(f"{run} is no run folder: it has no {METRICS_FILE}")
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if _is_metrics_line(line):
            lines.append(line)
    return lines


def append_metrics(path: Path, step: int, values: Mapping[str, Any]) -> None:
    """Write one line at the end of a log. Raises OSError if writing fails."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, **values}) + "\n")


def truncate_metrics(path: Path, step: int) -> None:
    """Drop the lines after `step`, and damaged ones.

    For step 0 the log is kept, as it is of an earlier run without checkpoints: it is renamed to
    metrics-1.jsonl, or the next free number. Raises UserError if `path` is not a file, or if
    writing fails.
    """
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise UserError(f"{path} is not a file: move it away")
    if step == 0:
        candidates = (path.with_name(f"metrics-{number}.jsonl") for number in itertools.count(1))
        path.rename(next(candidate for candidate in candidates if not candidate.exists()))
        return
    kept = [json.dumps(line) + "\n" for line in read_metrics(path.parent) if line["step"] <= step]
    with replace_atomically(path) as partial:
        partial.write_text("".join(kept), encoding="utf-8")


def is_finite_number(value: object) -> bool:
    """Whether a JSON value is a finite float, or an integer that fits 64 bits."""
    if type(value) is int:
        return abs(value) < 2**63
    return type(value) is float and math.isfinite(value)


def _is_metrics_line(line: object) -> bool:
    """Whether it is an object with a step, whose images and seconds, if present, are numbers."""
    return (
        isinstance(line, dict)
        and type(line.get("step")) is int
        and 0 <= line["step"] < 2**63
        and all(is_finite_number(line.get(name, 0)) for name in ("images", "seconds"))
    )
