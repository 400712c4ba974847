"""When a run writes what: scalars, sample grids, checkpoints and the progress bar.

Training hands over what is to be written and goes on: drawing, encoding and the disk are left to a
`BackgroundWriter`, in the order in which things fell due. So a checkpoint never is ahead of its
logs.
"""

import json
import sys
import time
from concurrent.futures import Future, wait
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm import tqdm

from dcgan import images, sampling
from dcgan.config import config_to_dict
from dcgan.data import PackedImages, row_reader
from dcgan.runs import checkpoint
from dcgan.runs.background_writer import BackgroundWriter
from dcgan.runs.checkpoint import Checkpoint
from dcgan.runs.layout import (
    CONFIG_FILE,
    best_checkpoint_path,
    checkpoint_path,
    diverged_path,
    remove_temporaries,
)
from dcgan.runs.log import RunLog
from dcgan.runs.run_folder import prune_checkpoints
from dcgan.runs.scalar_means import ScalarMeans
from dcgan.runtime import distributed
from dcgan.runtime.atomic_files import replace_atomically
from dcgan.runtime.disk import disk_errors
from dcgan.runtime.host_copy import HostCopy
from dcgan.runtime.locks import exclusive_access
from dcgan.training.monitoring import Diverged, HealthMonitor
from dcgan.training.optimizer import get_lr, lr_factor
from dcgan.training.periodic_evaluation import Best, Evaluator

GRID_SEEDS = range(sampling.BATCH_SIZE)  # the same in every grid, so that grids compare along a run
MAX_PENDING = 16  # jobs: more than fall due while a large checkpoint is written


class Recorder:
    """Watches a trainer and writes its run folder, on rank 0; the other ranks write nothing."""

    def __init__(
        self,
        trainer,
        packed: PackedImages,
        run: Path,
        found: Checkpoint | None = None,
        best: Best | None = None,
    ):
        """Goes on from what was `found`; `best` is what best.safetensors holds, if not as there."""
        self.trainer, self.config = trainer, trainer.config
        self.packed, self.run = packed, Path(run)
        self.meter = ScalarMeans(**found.header["meter"]) if found else ScalarMeans()
        # Checkpoints of before there was a monitor hold no state of one.
        self.monitor = HealthMonitor(**found.header.get("health", {})) if found else HealthMonitor()
        self.metrics: dict[str, float] = {}
        self.best = best or Best.of(self.config, found)
        self.seconds_before = found.header["seconds"] if found else 0.0
        self.stack = ExitStack()

    def __enter__(self) -> "Recorder":
        self.started = self.logged = time.perf_counter()
        self.step_logged = self.step_saved = self.trainer.step
        if distributed.is_main():
            self.stack.enter_context(exclusive_access(self.run))
            with disk_errors(self.run):
                remove_temporaries(self.run)
            config = json.dumps(config_to_dict(self.config), indent=2) + "\n"
            with replace_atomically(self.run / CONFIG_FILE) as partial:
                partial.write_text(config)
            self.log = RunLog(self.run, self.trainer.step)
            self.log.add_text(self.trainer.step, CONFIG_FILE, f"```\n{config}```")
            if self.trainer.step == 0:
                first = np.arange(min(len(self.packed), len(GRID_SEEDS)))
                real = images.make_grid(row_reader(self.packed.images)(first))
                self.log.add_image(0, "real", real)
            self.z = sampling.latents_from_seeds(self.trainer.G, GRID_SEEDS).to(self.trainer.device)
            if self.config.eval_every:
                self.evaluator = Evaluator(self.config, self.packed, self.trainer.device)
            self.saved: Future | None = None
            self.writer = self.stack.enter_context(BackgroundWriter(MAX_PENDING))
            bar = tqdm(
                total=self.config.steps,
                initial=self.trainer.step,
                unit="step",
                desc="training",
                dynamic_ncols=True,
                mininterval=0.5,  # seconds; drawing it takes longer than reading a number
            )
            self.bar = self.stack.enter_context(bar)
        return self

    def __exit__(self, kind, *error) -> None:
        """Wait until all is written. Raises what writing has raised, unless the block raises.

        A state that has diverged is kept for whoever asks why, apart from the checkpoints.
        """
        try:
            if kind is Diverged and distributed.is_main():
                sampling.recalibrate_batch_norm(self.trainer.G_ema)
                self.hand_over(diverged_path(self.run, self.trainer.step))
        finally:
            self.stack.__exit__(kind, *error)

    def record(self, scalars: dict[str, Tensor]) -> None:
        """Take in the scalars of the step just done and hand over what is due after it.

        Raises Diverged where numbers are not finite, and UserError where the disk has refused.
        """
        config = self.config
        looks = (config.eval_every, config.sample_every, config.save_every)
        if any(map(self.due, (config.log_every, *looks))):
            self.trainer.check_finite()  # by all processes, which go back together
        if any(map(self.due, looks)):
            # By all processes, which stay equal.
            sampling.recalibrate_batch_norm(self.trainer.G_ema)
        if not distributed.is_main():
            return
        self.meter.add(scalars)
        self.bar.update()
        judged = self.due(self.config.eval_every)
        scores, improved = self.evaluate() if judged else ({}, False)
        if judged or self.due(self.config.log_every):
            self.write_scalars(scores)
        if improved:
            self.hand_over(best_checkpoint_path(self.run))
        if self.due(self.config.sample_every):
            self.write_samples()
        if self.due(self.config.save_every):
            self.keep()

    def save(self) -> None:
        """Hand over a checkpoint of this step, if there is none; the logs are written before it.

        Raises Diverged where numbers are not finite.
        """
        if self.step_saved != self.trainer.step:
            self.trainer.check_finite()
            sampling.recalibrate_batch_norm(self.trainer.G_ema)
            if distributed.is_main():
                self.keep()

    def keep(self) -> None:
        """Hand over a checkpoint of this step, which is known to be finite."""
        self.step_saved = self.trainer.step
        self.hand_over(checkpoint_path(self.run, self.trainer.step))

    def hand_over(self, path: Path) -> None:
        if self.saved:
            wait([self.saved])  # so that there never is more than one copy of the networks
        self.writer.check()
        header = {
            "step": self.trainer.step,
            "config": config_to_dict(self.config),
            "seconds": self.seconds(),
            "data": self.packed.fingerprint,
            "metrics": self.metrics,
            "health": self.monitor.state(),
            "best": self.best.header(),
            "rollbacks": self.trainer.rollbacks,
        }
        if labels := self.trainer.labels:
            header["labels"] = {"kind": labels.kind, "names": labels.names}
        state, sums = HostCopy(self.trainer.tensors()), HostCopy(self.meter.sums)
        self.saved = self.writer.submit(
            self.write_checkpoint, path, header, state, sums, self.meter.added
        )

    def flush(self) -> None:
        """Wait until all that was handed over is written. Raises what writing has raised."""
        if distributed.is_main():
            self.writer.flush()

    def write_checkpoint(
        self, path: Path, header: dict, state: HostCopy, sums: HostCopy, added: int
    ) -> None:
        totals = {name: float(total) for name, total in sums.read().items()}
        header = {**header, "meter": {"totals": totals, "added": added}}
        self.log.flush()
        checkpoint.save(path, header, state.read())
        prune_checkpoints(path, self.config.keep)

    def seconds(self) -> float:
        """How long this run has trained, over all its restarts."""
        return self.seconds_before + time.perf_counter() - self.started

    def due(self, every: int) -> bool:
        """Whether the step is a multiple of `every`, or the last; never where that is 0."""
        return every > 0 and (
            self.trainer.step % every == 0 or self.trainer.step == self.config.steps
        )

    def evaluate(self) -> tuple[dict[str, float], bool]:
        """Scores of the averaged G, and whether they are better than the best so far."""
        started = time.perf_counter()
        scores = self.evaluator.scores(self.trainer.G_ema)
        improved = self.best.update(self.trainer.step, scores)
        self.logged += time.perf_counter() - started  # the rate is that of training
        return {f"eval/{name}": value for name, value in scores.items()}, improved

    def stalled(self) -> bool:
        """Whether patience has run out at this step. All processes ask, and hear the same."""
        if not (self.config.patience and self.due(self.config.eval_every)):
            return False
        ours = self.best.stalled(self.config.patience)
        return bool(distributed.max_over_processes(int(ours), self.trainer.device))

    def write_scalars(self, scores: dict[str, float]) -> None:
        step, steps = self.trainer.step, self.trainer.step - self.step_logged
        means = self.meter.read()  # waits for the device, so the clock is read after it
        means |= {name: float(value) for name, value in self.trainer.weight_diagnostics().items()}
        now = time.perf_counter()
        rate = steps * self.config.batch_size / (now - self.logged)
        self.logged, self.step_logged = now, step
        self.metrics = {
            "images": step * self.config.batch_size,
            "seconds": self.seconds(),
            "images_per_second": rate,
            "lr_G": get_lr(self.trainer.opt_G),
            "lr_D": get_lr(self.trainer.opt_D),
            **means,
            **scores,
        }
        self.writer.submit(self.log.add_scalars, step, self.metrics)
        self.bar.set_postfix_str(
            f"{rate:.0f} images/s, loss D {means['loss_D']:.3f}, G {means['loss_G']:.3f}"
        )
        law = self.config.lr_decay
        decay = lr_factor((step - 1) / self.config.steps, law)  # that of the step just done
        at_chance = self.trainer.loss.loss_at_chance
        shown = {**means, "loss_at_chance": at_chance, "lr_factor": decay}
        for message in self.monitor.check(step, shown):
            self.bar.write(f"step {step}: {message}", file=sys.stderr)
            self.writer.submit(self.log.add_text, step, "health", message)

    def write_samples(self) -> None:
        drawn = {
            name: sampling.make_renderer(G, self.config.precision)(self.z)
            for name, G in (("averaged", self.trainer.G_ema), ("raw", self.trainer.G))
        }
        self.writer.submit(self.write_grids, self.trainer.step, HostCopy(drawn))

    def write_grids(self, step: int, drawn: HostCopy) -> None:
        self.log.add_samples(
            step, **{name: tensor.numpy() for name, tensor in drawn.read().items()}
        )
