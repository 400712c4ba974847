"""What a run tells its user: TensorBoard, metrics.jsonl, and the sample grids as PNG."""

import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan.files import replacing
from dcgan.images import save_png

SAMPLES = "samples"


class Meter:
    """Means of scalars over steps, summed on the device and read all at once."""

    def __init__(self):
        self.totals: dict[str, Tensor] = {}
        self.count = 0

    def add(self, values: dict[str, Tensor]) -> None:
        """Add the 0-dim tensors of one step, without waiting for them."""
        for name, value in values.items():
            self.totals[name] = self.totals[name] + value if self.count else value
        self.count += 1

    def read(self) -> dict[str, float]:
        """Means since the last read; the one place that waits for the device."""
        means = (torch.stack(list(self.totals.values())) / self.count).tolist()
        read = dict(zip(self.totals, means, strict=True))
        self.__init__()
        return read


class RunLog:
    """Writes the logs of one run folder. Entries after `step`, of a run cut short, are dropped."""

    def __init__(self, run: Path, step: int):
        from torch.utils.tensorboard import SummaryWriter

        self.run = Path(run)
        self.metrics = self.run / "metrics.jsonl"
        keep_until(self.metrics, step)
        self.writer = SummaryWriter(str(run), purge_step=step + 1)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One line of metrics.jsonl and one point of every curve."""
        with open(self.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """uint8 [H, W, C] to TensorBoard."""
        self.writer.add_image(name, image, step, dataformats="HWC")

    def samples(self, step: int, image: np.ndarray) -> None:
        """uint8 [H, W, C] to samples/step-00001000.png."""
        save_png(samples_path(self.run, step), image)

    def flush(self) -> None:
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


def newest_samples(run: Path) -> Path | None:
    """The last sample grid of a run."""
    return max((Path(run) / SAMPLES).glob("step-*.png"), default=None)


def samples_path(run: Path, step: int) -> Path:
    return Path(run) / SAMPLES / f"step-{step:08d}.png"


def keep_until(metrics: Path, step: int) -> None:
    """Drop the lines after `step`, and a last line that a crash left unfinished."""
    if not metrics.exists():
        return
    kept = []
    for line in metrics.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + os.linesep)
        except (ValueError, KeyError, TypeError):
            continue
    with replacing(metrics) as partial:
        partial.write_text("".join(kept), encoding="utf-8")
