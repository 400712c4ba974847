"""The recorder of a GAN's run: its log, its sample grids, and the warnings of the monitor."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from dcgan.config import TrainConfig, config_to_dict
from dcgan.runs.recorder import RunRecorder
from dcgan.runtime.host_copy import HostCopy
from dcgan.training.monitoring import HealthMonitor
from dcgan.training.run_state import RunState


class Recorder(RunRecorder):
    """Writes logs, sample grids and checkpoints, and shows the progress bar."""

    def __init__(
        self, config: TrainConfig, run: Path, device: torch.device, state: RunState | None = None
    ):
        """See `RunRecorder`."""
        super().__init__(config_to_dict(config), run, device, state)
        self.monitor = HealthMonitor.from_state(state.health) if state else HealthMonitor()

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
        notes = {"scored_in": dict(scored_in)} if scores else {}
        losses = f", loss D {means['loss_D']:.3f}, G {means['loss_G']:.3f}"
        self.write_line({**learning_rates, **means, **scores}, notes, losses)
        for message in self.monitor.check(self.step, {**means, **references}):
            self.warn(message)

    def write_samples(self, averaged: Tensor, raw: Tensor) -> None:
        """Write grids of images of G_ema and of G, uint8 [N, H, W, C] each."""
        images = HostCopy({"averaged": averaged, "raw": raw})
        self.writer.submit(self._add_samples, self.step, images)

    def _add_samples(self, step: int, images: HostCopy) -> None:
        self.log.add_samples(step, **{name: copy.numpy() for name, copy in images.read().items()})
