"""When a run writes what: scalars, sample grids, checkpoints and the progress bar."""

import json
import math
import time
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm import tqdm

from dcgan import distributed, images, sampling
from dcgan.checkpoint import Checkpoint
from dcgan.config import to_json
from dcgan.data.packed import Packed
from dcgan.errors import UserError
from dcgan.files import replacing
from dcgan.log import Meter, RunLog

CONFIG = "config.json"
GRID_SEEDS = range(64)  # the same latents in every grid, so that grids compare along a run


class Recorder:
    """Watches a trainer and writes its run folder, on rank 0; the other ranks write nothing."""

    def __init__(self, trainer, packed: Packed, run: Path, found: Checkpoint | None = None):
        self.trainer, self.config = trainer, trainer.config
        self.packed, self.run = packed, Path(run)
        self.meter = Meter(**found.header["meter"]) if found else Meter()
        self.metrics: dict[str, float] = {}
        self.seconds_before = found.header["seconds"] if found else 0.0

    def __enter__(self) -> "Recorder":
        self.started = self.logged = time.perf_counter()
        self.step_logged = self.trainer.step
        if distributed.is_main():
            with replacing(self.run / CONFIG) as partial:
                partial.write_text(json.dumps(to_json(self.config), indent=2) + "\n")
            self.log = RunLog(self.run, self.trainer.step)
            if self.trainer.step == 0:
                real = images.grid(np.asarray(self.packed.images[: len(GRID_SEEDS)]))
                self.log.picture(0, "real", real)
            self.bar = tqdm(
                total=self.config.steps,
                initial=self.trainer.step,
                unit="step",
                desc="training",
                dynamic_ncols=True,
            )
        return self

    def __exit__(self, *_) -> None:
        if distributed.is_main():
            self.bar.close()
            self.log.close()

    def record(self, scalars: dict[str, Tensor]) -> None:
        """Take in the scalars of the step just done and write what is due after it."""
        if not distributed.is_main():
            return
        self.meter.add(scalars)
        self.bar.update()
        if self.due(self.config.log_every):
            self.write_scalars()
        if self.due(self.config.sample_every):
            self.write_samples()
        if self.due(self.config.save_every):
            self.save()

    def save(self) -> None:
        """Write a checkpoint, and the logs up to it."""
        if distributed.is_main():
            self.log.flush()
            self.trainer.save(
                self.run,
                {
                    "seconds": self.seconds(),
                    "data": self.packed.fingerprint,
                    "metrics": self.metrics,
                    "meter": self.meter.sums(),
                },
            )

    def seconds(self) -> float:
        """How long this run has trained, over all its restarts."""
        return self.seconds_before + time.perf_counter() - self.started

    def due(self, every: int) -> bool:
        return self.trainer.step % every == 0 or self.trainer.step == self.config.steps

    def write_scalars(self) -> None:
        step, steps = self.trainer.step, self.trainer.step - self.step_logged
        means = self.meter.read()  # waits for the device, so the clock is read after it
        now = time.perf_counter()
        for name in ("loss_D", "loss_G"):
            if not math.isfinite(means[name]):
                raise UserError(
                    f"{name} is {means[name]} near step {step}: try a lower --lr-G, --lr-D"
                )
        rate = steps * self.config.batch_size / (now - self.logged)
        self.logged, self.step_logged = now, step
        self.metrics = {
            "images": step * self.config.batch_size,
            "seconds": self.seconds(),
            "images_per_second": rate,
            "lr_G": self.config.lr_G,
            "lr_D": self.config.lr_D,
            **means,
        }
        self.log.scalars(step, self.metrics)
        self.bar.set_postfix_str(
            f"{rate:.0f} images/s, loss D {means['loss_D']:.3f}, G {means['loss_G']:.3f}"
        )

    def write_samples(self) -> None:
        step = self.trainer.step
        averaged = sampling.sample_grid(self.trainer.G_ema, GRID_SEEDS)
        self.log.samples(step, averaged)
        self.log.picture(step, "samples/ema", averaged)
        self.log.picture(step, "samples/raw", sampling.sample_grid(self.trainer.G, GRID_SEEDS))
