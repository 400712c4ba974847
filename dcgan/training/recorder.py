"""The recorder: writes a run folder in the background, and shows the progress of the run."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from dcgan.config import TrainConfig, config_to_dict
from dcgan.errors import printable
from dcgan.runs import checkpoint
from dcgan.runs.background_writer import BackgroundWriter
from dcgan.runs.checkpoint_folder import prune_checkpoints
from dcgan.runs.layout import CONFIG_FILE, remove_temporaries
from dcgan.runs.log import RunLog
from dcgan.runs.scalar_means import ScalarMeans
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.device import thread_initializer
from dcgan.runtime.disk import disk_errors
from dcgan.runtime.host_copy import HostCopy
from dcgan.runtime.locks import exclusive_access
from dcgan.runtime.progress import progress_bar
from dcgan.training.monitoring import HealthMonitor
from dcgan.training.run_state import RunState

_MAX_PENDING = 16  # jobs: more than are submitted while a large checkpoint is written


class Recorder:
    """Writes logs, sample grids and checkpoints, and shows the progress bar.

    Its methods copy their arguments and return. A background thread encodes and writes them in the
    order of the calls, so that no checkpoint is written before the logs of its step. The methods
    raise UserError where an earlier write to the disk has failed.
    """

    def __init__(
        self, config: TrainConfig, run: Path, device: torch.device, state: RunState | None = None
    ):
        """`device`: that of the tensors which are written. `state`: that of the checkpoint which
        the run resumes from, None for a new run.
        """
        self.config, self.run, self.device = config, Path(run), device
        self.step = state.step if state else 0
        self.metrics: dict[str, float] = dict(state.metrics) if state else {}
        self.means, self.monitor, self._seconds_before = ScalarMeans(), HealthMonitor(), 0.0
        if state:
            totals = {name: float(total) for name, total in state.section("sums.").items()}
            self.means = ScalarMeans(totals, state.summed_steps)
            self.monitor = HealthMonitor.from_state(state.health)
            self._seconds_before = state.seconds
        self._stack = ExitStack()
        self._saving: Future | None = None

    def __enter__(self) -> "Recorder":
        self._started = self._logged_at = time.perf_counter()
        self._logged_step = self.step
        with ExitStack() as stack:  # unlocks the folder if the rest fails
            if stack.enter_context(exclusive_access(self.run)):
                with disk_errors(self.run):
                    remove_temporaries(self.run)
            config = json.dumps(config_to_dict(self.config), indent=2) + "\n"
            with replace_atomically(self.run / CONFIG_FILE) as partial:
                partial.write_text(config)
            self.log = RunLog(self.run, self.step)
            self.log.add_text(self.step, CONFIG_FILE, f"```\n{config}```")
            initializer = thread_initializer(self.device)
            self.writer = stack.enter_context(BackgroundWriter(_MAX_PENDING, initializer))
            steps = self.config.steps
            # Redrawing costs time, and nobody reads faster.
            bar = progress_bar(steps, "training", "step", initial=self.step, mininterval=0.5)
            self.bar = stack.enter_context(bar)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait until everything is written. Raises the writer's error, unless the block raises."""
        self._stack.__exit__(kind, error, traceback)

    def add_step(self, step: int, scalars: Mapping[str, Tensor]) -> None:
        """Add the 0-dim scalars of a step to the means of the next line of the log."""
        self.step = step
        self.means.add(dict(scalars))
        self.bar.update()

    def write_scalars(
        self,
        diagnostics: Mapping[str, Tensor],
        learning_rates: Mapping[str, float],
        scores: Mapping[str, float],
        references: Mapping[str, float],
        scored_in: Mapping[str, str],
    ) -> None:
        """Log the means since the last line, with other values of this step.

        `diagnostics`: 0-dim tensors; `references`: values for the health monitor, not logged;
        `scored_in`: what the scores, if there are any, were computed in. Waits for the device.
        """
        means = self.means.read()  # waits for the device, so the clock is read after it
        means |= {name: float(value) for name, value in diagnostics.items()}
        now = time.perf_counter()
        images = (self.step - self._logged_step) * self.config.batch_size
        rate = images / (now - self._logged_at)
        self._logged_at, self._logged_step = now, self.step
        self.metrics = {
            "images": self.step * self.config.batch_size,
            "seconds": self.seconds(),
            "images_per_second": rate,
            **learning_rates,
            **means,
            **scores,
        }
        notes = {"scored_in": dict(scored_in)} if scores else {}
        self.writer.submit(self.log.add_scalars, self.step, self.metrics, notes)
        self.bar.set_postfix_str(
            f"{rate:.0f} images/s, loss D {means['loss_D']:.3f}, G {means['loss_G']:.3f}",
            refresh=False,
        )
        for message in self.monitor.check(self.step, {**means, **references}):
            self.bar.write(printable(f"step {self.step}: {message}"), file=sys.stderr)
            self.writer.submit(self.log.add_text, self.step, "health", message)

    def write_image(self, tag: str, image: np.ndarray) -> None:
        """Write an image to TensorBoard, uint8 [H, W, C]."""
        self.writer.submit(self.log.add_image, self.step, tag, image)

    def write_samples(self, averaged: Tensor, raw: Tensor) -> None:
        """Write grids of images of G_ema and of G, uint8 [N, H, W, C] each."""
        images = HostCopy({"averaged": averaged, "raw": raw})
        self.writer.submit(self._add_samples, self.step, images)

    def write_checkpoint(self, path: Path, state: RunState) -> None:
        """Write a checkpoint; afterwards delete those that --keep does not keep."""
        if self._saving:
            wait([self._saving])  # so that at most one copy of the networks is in memory
        self.writer.check()
        tensors = HostCopy(state.tensors)
        self._saving = self.writer.submit(self._save_checkpoint, path, state.header(), tensors)

    def flush(self) -> None:
        """Wait until everything is written. Raises the writer's error."""
        self.writer.flush()

    def seconds(self) -> float:
        """Seconds that this run has trained, over all its restarts."""
        return self._seconds_before + time.perf_counter() - self._started

    @contextmanager
    def excluded_from_rate(self) -> Iterator[None]:
        """Leave the time in the block out of the logged images per second."""
        started = time.perf_counter()
        yield
        self._logged_at += time.perf_counter() - started

    def _add_samples(self, step: int, images: HostCopy) -> None:
        self.log.add_samples(step, **{name: copy.numpy() for name, copy in images.read().items()})

    def _save_checkpoint(self, path: Path, header: dict, tensors: HostCopy) -> None:
        self.log.flush()
        checkpoint.save(path, header, tensors.read())
        prune_checkpoints(path, self.config.keep)
