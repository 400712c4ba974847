"""The log of a run: metrics.jsonl, TensorBoard, and sample grids as PNG files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dcgan import images
from dcgan.runs.layout import METRICS_FILE, sample_grid_path
from dcgan.runs.metrics_file import append_metrics, truncate_metrics
from dcgan.runs.tensorboard import EventFileWriter
from dcgan.runtime.atomic_files import fsync, replace_atomically
from dcgan.runtime.disk import disk_errors


class RunLog:
    """Writes the log of one run folder. Entries after `step`, left by a killed run, are dropped.

    Every method writes before it returns, and raises UserError if writing fails.
    """

    def __init__(self, run: Path, step: int):
        self.run = Path(run)
        self.metrics = self.run / METRICS_FILE
        truncate_metrics(self.metrics, step)
        with disk_errors(self.run):
            self.events = EventFileWriter(self.run, purge_step=step + 1 if step else 0)

    def add_scalars(self, step: int, values: dict[str, float], notes: Mapping[str, Any]) -> None:
        """Add a line with values and notes to metrics.jsonl, and a point to each value's curve in
        TensorBoard.
        """
        with disk_errors(self.run):
            append_metrics(self.metrics, step, {**values, **notes})
            self.events.add_scalars(step, values)

    def add_text(self, step: int, tag: str, text: str) -> None:
        """Add a text to TensorBoard."""
        with disk_errors(self.run):
            self.events.add_text(step, tag, text)

    def add_image(self, step: int, tag: str, image: np.ndarray) -> bytes:
        """Add uint8 [H, W, C] to TensorBoard, and return it encoded as PNG."""
        png = images.encode_png(image)
        with disk_errors(self.run):
            self.events.add_image(step, tag, image.shape, png)
        return png

    def add_samples(self, step: int, averaged: np.ndarray, raw: np.ndarray) -> None:
        """Add grids of images of G_ema and of G, uint8 [N, H, W, C], to TensorBoard.

        The grid of G_ema is written as a PNG file too.
        """
        self.add_sample_picture(step, "samples/ema", images.make_grid(averaged))
        self.add_image(step, "samples/raw", images.make_grid(raw))

    def add_sample_picture(self, step: int, tag: str, picture: np.ndarray) -> None:
        """Add uint8 [H, W, C] to TensorBoard, and write it as the sample grid of the step."""
        png = self.add_image(step, tag, picture)
        with replace_atomically(sample_grid_path(self.run, step), durable=False) as partial:
            partial.write_bytes(png)

    def flush(self) -> None:
        """Flush the log to the disk, so that it survives a power cut."""
        with disk_errors(self.run):
            for path in (self.metrics, self.events.path):
                if path.exists():
                    fsync(path)
