"""What a run tells its user: TensorBoard, metrics.jsonl, and the sample grids as PNG."""

import itertools
import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan.errors import UserError
from dcgan.files import replacing, writing
from dcgan.images import save_png

SAMPLES = "samples"


class Meter:
    """Means of scalars over steps, summed on the device and read all at once."""

    def __init__(self, totals: dict[str, float] | None = None, added: int = 0):
        self.totals: dict[str, Tensor | float] = totals or {}
        self.added = added

    def add(self, values: dict[str, Tensor]) -> None:
        """Add the 0-dim tensors of one step, without waiting for them."""
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0) + value
        self.added += 1

    def sums(self) -> dict:
        """What a new meter needs to go on from here. Waits for the device."""
        totals = [torch.as_tensor(total) for total in self.totals.values()]
        values = torch.stack(totals).tolist() if totals else []
        return {"totals": dict(zip(self.totals, values, strict=True)), "added": self.added}

    def read(self) -> dict[str, float]:
        """Means since the last read. Waits for the device."""
        sums = self.sums()["totals"]
        means = {name: total / self.added for name, total in sums.items()}
        self.__init__()
        return means


class RunLog:
    """Writes the logs of one run folder. Entries after `step`, of a run cut short, are dropped."""

    def __init__(self, run: Path, step: int):
        from torch.utils.tensorboard import SummaryWriter

        self.run = Path(run)
        self.metrics = self.run / "metrics.jsonl"
        keep_until(self.metrics, step)
        self.writer = SummaryWriter(str(run), purge_step=step + 1 if step else 0)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One line of metrics.jsonl and one point of every curve."""
        with writing(self.run):
            with open(self.metrics, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """uint8 [H, W, C] to TensorBoard."""
        with writing(self.run):
            self.writer.add_image(name, image, step, dataformats="HWC")

    def samples(self, step: int, image: np.ndarray) -> None:
        """uint8 [H, W, C] to samples/step-00001000.png."""
        save_png(samples_path(self.run, step), image)

    def flush(self) -> None:
        with writing(self.run):
            self.writer.flush()

    def close(self) -> None:
        with writing(self.run):
            self.writer.close()


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
    kept = []
    for line in metrics.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue
    with replacing(metrics) as partial:
        partial.write_text("".join(kept), encoding="utf-8")
