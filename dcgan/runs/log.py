"""What a run tells its user: TensorBoard, metrics.jsonl, and the sample grids as PNG."""

import itertools
import json
import math
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan import images
from dcgan.errors import UserError
from dcgan.runs.tensorboard import EventFile
from dcgan.runtime.files import flush, replacing, writing

SAMPLES, METRICS = "samples", "metrics.jsonl"


class Meter:
    """Means of scalars over steps, summed on the device and read all at once."""

    def __init__(self, totals: dict[str, float] | None = None, added: int = 0):
        """From nothing, or from the `sums` of `added` steps that another meter had."""
        self.totals, self.added = totals or {}, added
        self.sums: dict[str, Tensor] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        """Add the 0-dim tensors of one step, without waiting for them."""
        if not self.sums:
            self.sums = {k: torch.full_like(v, self.totals.get(k, 0.0)) for k, v in values.items()}
        torch._foreach_add_(list(self.sums.values()), [values[name] for name in self.sums])
        self.added += 1

    def read(self) -> dict[str, float]:
        """Means since the last read. Waits for the device."""
        sums = torch.stack(list(self.sums.values())).tolist()
        means = {name: total / self.added for name, total in zip(self.sums, sums, strict=True)}
        self.__init__()
        return means


class RunLog:
    """Writes the logs of one run folder. Entries after `step`, of a run cut short, are dropped.

    Every method has written when it returns, and raises UserError where the disk refuses.
    """

    def __init__(self, run: Path, step: int):
        self.run = Path(run)
        self.metrics = self.run / METRICS
        keep_until(self.metrics, step)
        with writing(self.run):
            self.events = EventFile(self.run, purge_step=step + 1 if step else 0)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One line of metrics.jsonl and one point of every curve."""
        with writing(self.run):
            with open(self.metrics, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
            self.events.scalars(step, values)

    def text(self, step: int, name: str, text: str) -> None:
        """Some words to TensorBoard."""
        with writing(self.run):
            self.events.text(step, name, text)

    def picture(self, step: int, name: str, image: np.ndarray) -> bytes:
        """uint8 [H, W, C] to TensorBoard; returns it as PNG."""
        content = images.to_png(image)
        with writing(self.run):
            self.events.image(step, name, image.shape, content)
        return content

    def samples(self, step: int, averaged: np.ndarray, raw: np.ndarray) -> None:
        """Images of G_ema and of G, uint8 [N, H, W, C], to TensorBoard; the former to a PNG too."""
        content = self.picture(step, "samples/ema", images.grid(averaged))
        with replacing(samples_path(self.run, step), durable=False) as partial:
            partial.write_bytes(content)
        self.picture(step, "samples/raw", images.grid(raw))

    def flush(self) -> None:
        """What is written outlives a power cut."""
        with writing(self.run):
            for path in (self.metrics, self.events.path):
                if path.exists():
                    flush(path)


def read_metrics(run: Path) -> list[dict]:
    """The lines of a run's log, in order; what is no line of one is passed over."""
    path, lines = Path(run) / METRICS, []
    if not path.is_file():
        raise UserError(f"{run} is no run folder: it has no {METRICS}")
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            values = json.loads(line)
            if is_line(values):
                lines.append(values)
        except (ValueError, RecursionError):
            continue
    return lines


def is_line(values) -> bool:
    """Whether it is an object with what places a line of a log: a step, and images and seconds."""
    return (
        isinstance(values, dict)
        and type(values.get("step")) is int
        and 0 <= values["step"] < 2**63
        and all(is_number(values.get(name, 0)) for name in ("images", "seconds"))
    )


def is_number(value) -> bool:
    """Whether it is one that can be computed with: finite, and no integer beyond 64 bits."""
    if type(value) is int:
        return abs(value) < 2**63
    return type(value) is float and math.isfinite(value)


def newest_samples(run: Path) -> Path | None:
    """The last sample grid of a run."""
    return max((Path(run) / SAMPLES).glob("step-*.png"), default=None)


def samples_path(run: Path, step: int) -> Path:
    return Path(run) / SAMPLES / f"step-{step:08d}.png"


def keep_until(metrics: Path, step: int) -> None:
    """Drop the lines after `step`, and what a crash has left that is no line.

    At step 0 all of it is of a run that has no checkpoint any more, so it is put aside.
    """
    if not os.path.lexists(metrics):
        return
    if not metrics.is_file():
        raise UserError(f"{metrics} is not a file: move it away")
    if step == 0:
        numbers = itertools.count(1)
        aside = (metrics.with_name(f"metrics-{number}.jsonl") for number in numbers)
        metrics.rename(next(path for path in aside if not path.exists()))
        return
    kept = [
        json.dumps(line) + "\n" for line in read_metrics(metrics.parent) if line["step"] <= step
    ]
    with replacing(metrics) as partial:
        partial.write_text("".join(kept), encoding="utf-8")
