"""The recorder of a run: writes its folder in the background, and shows its progress."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from dcgan.errors import printable
from dcgan.runs import checkpoint
from dcgan.runs.background_writer import BackgroundWriter
from dcgan.runs.checkpoint_folder import prune_checkpoints
from dcgan.runs.layout import CONFIG_FILE, remove_temporaries
from dcgan.runs.log import RunLog
from dcgan.runs.saved_state import SavedState
from dcgan.runs.scalar_means import ScalarMeans
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.device import thread_initializer
from dcgan.runtime.disk import disk_errors
from dcgan.runtime.host_copy import HostCopy
from dcgan.runtime.locks import exclusive_access
from dcgan.runtime.progress import progress_bar

_MAX_PENDING = 16  # jobs: more than are submitted while a large checkpoint is written


class RunRecorder:
    """Writes the log and the checkpoints of a run, and shows the progress bar.

    Its methods copy their arguments and return. A background thread encodes and writes them in the
    order of the calls, so that no checkpoint is written before the logs of its step. The methods
    raise UserError where an earlier write to the disk has failed.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        run: Path,
        device: torch.device,
        state: SavedState | None = None,
    ):
        """`options`: of the run, as JSON can hold them, with `steps`, `batch_size` and `keep`.
        `device`: that of the tensors which are written. `state`: that of the checkpoint which the
        run resumes from, None for a new run.
        """
        self.options, self.run, self.device = options, Path(run), device
        self.step = state.step if state else 0
        self.metrics: dict[str, float] = dict(state.metrics) if state else {}
        self.means, self._seconds_before = ScalarMeans(), 0.0
        if state:
            totals = {name: float(total) for name, total in state.section("sums.").items()}
            self.means = ScalarMeans(totals, state.summed_steps)
            self._seconds_before = state.seconds
        self._stack = ExitStack()
        self._saving: Future | None = None

    def __enter__(self) -> Self:
        self._started = self._logged_at = time.perf_counter()
        self._logged_step = self.step
        with ExitStack() as stack:  # unlocks the folder if the rest fails
            if stack.enter_context(exclusive_access(self.run)):
                with disk_errors(self.run):
                    remove_temporaries(self.run)
            config = json.dumps(self.options, indent=2) + "\n"
            with replace_atomically(self.run / CONFIG_FILE) as partial:
                partial.write_text(config)
            self.log = RunLog(self.run, self.step)
            self.log.add_text(self.step, CONFIG_FILE, f"```\n{config}```")
            initializer = thread_initializer(self.device)
            self.writer = stack.enter_context(BackgroundWriter(_MAX_PENDING, initializer))
            steps = self.options["steps"]
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

    def write_line(
        self, values: Mapping[str, float], notes: Mapping[str, Any], shown: str = ""
    ) -> None:
        """Log values of this step as a line and as curves, and notes as part of the line.

        `shown`: what the progress bar shows of them, after the rate.
        """
        now = time.perf_counter()
        batch_size = self.options["batch_size"]
        rate = (self.step - self._logged_step) * batch_size / (now - self._logged_at)
        self._logged_at, self._logged_step = now, self.step
        self.metrics = {
            "images": self.step * batch_size,
            "seconds": self.seconds(),
            "images_per_second": rate,
            **values,
        }
        self.writer.submit(self.log.add_scalars, self.step, self.metrics, dict(notes))
        self.bar.set_postfix_str(f"{rate:.0f} images/s{shown}", refresh=False)

    def warn(self, message: str) -> None:
        """Print a message above the progress bar, and write it to TensorBoard's texts."""
        self.bar.write(printable(f"step {self.step}: {message}"), file=sys.stderr)
        self.writer.submit(self.log.add_text, self.step, "health", message)

    def write_image(self, tag: str, image: np.ndarray) -> None:
        """Write an image to TensorBoard, uint8 [H, W, C]."""
        self.writer.submit(self.log.add_image, self.step, tag, image)

    def write_checkpoint(self, path: Path, state: SavedState) -> None:
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

    def _save_checkpoint(self, path: Path, header: dict, tensors: HostCopy) -> None:
        self.log.flush()
        checkpoint.save(path, header, tensors.read())
        prune_checkpoints(path, self.options["keep"])
