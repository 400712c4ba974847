"""The tasks of a run that recur every N steps: evaluation, logging, sample grids, checkpoints."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from torch import Tensor

from dcgan import sampling
from dcgan.config import config_to_dict
from dcgan.data import PackedImages
from dcgan.runs.layout import best_checkpoint_path, checkpoint_path, diverged_path
from dcgan.runtime import distributed
from dcgan.runtime.device import describe_computation
from dcgan.training.best_evaluation import BestEvaluation
from dcgan.training.monitoring import Diverged
from dcgan.training.optimizer import get_lr, lr_factor
from dcgan.training.periodic_evaluation import Evaluator
from dcgan.training.recorder import Recorder
from dcgan.training.run_state import RunState
from dcgan.training.sample_grids import grid_of_real_images, latents_of_grid
from dcgan.training.trainer import Trainer


class PeriodicTasks:
    """Does what is due after each step of a trainer, in its run folder.

    Every process calls it, since checks and batch norm statistics need all of them; the main
    process alone evaluates and writes.
    """

    def __init__(
        self,
        trainer: Trainer,
        packed: PackedImages,
        run: Path,
        state: RunState | None = None,
        best: BestEvaluation | None = None,
    ):
        """`state`: that of the checkpoint that the trainer was loaded from, None for a new run.
        `best`: the best evaluation so far, if it is not that in `state`.
        """
        self.trainer, self.config = trainer, trainer.config
        self.packed, self.run = packed, Path(run)
        self.best = best or BestEvaluation.of(self.config, state.best if state else None)
        self.saved_step = trainer.step
        self._stack = ExitStack()
        if distributed.is_main():
            self.recorder = Recorder(self.config, self.run, trainer.device, state)

    def __enter__(self) -> "PeriodicTasks":
        with distributed.main_first("opening the run folder"):
            if distributed.is_main():
                self._open_run_folder()
        return self

    def _open_run_folder(self) -> None:
        trainer = self.trainer
        with ExitStack() as stack:  # ends the recorder if the rest fails
            stack.enter_context(self.recorder)
            if trainer.step == 0:
                self.recorder.write_image("real", grid_of_real_images(self.packed))
            self.z = latents_of_grid(trainer.G)
            if self.config.eval_every:
                self.evaluator = Evaluator(self.config, self.packed, trainer.device)
            self._stack = stack.pop_all()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait until all is written. A diverged state is saved apart from the checkpoints."""
        try:
            if kind is Diverged and distributed.is_main():
                sampling.recalibrate_batch_norm(self.trainer.G_ema)
                self._write_checkpoint(diverged_path(self.run, self.trainer.step))
        finally:
            self._stack.__exit__(kind, error, traceback)

    def after_step(self, scalars: dict[str, Tensor]) -> None:
        """Record the 0-dim scalars of the last step, and do the tasks that are due after it.

        Without a due task the host does not wait for the device. Raises Diverged for non-finite
        numbers, and UserError where an earlier write to the disk has failed.
        """
        config, trainer = self.config, self.trainer
        log, evaluate = self._is_due(config.log_every), self._is_due(config.eval_every)
        sample, save = self._is_due(config.sample_every), self._is_due(config.save_every)
        if log or evaluate or sample or save:
            trainer.check_finite()  # in every process, so that all of them roll back
        if evaluate or sample or save:
            sampling.recalibrate_batch_norm(trainer.G_ema)  # in every process, so they stay equal
        if distributed.is_main():
            self.recorder.add_step(trainer.step, scalars)
        if log or evaluate or sample or save:
            with distributed.main_first("evaluating" if evaluate else "writing files"):
                if distributed.is_main():
                    self._do_tasks(log, evaluate, sample, save)

    def _do_tasks(self, log: bool, evaluate: bool, sample: bool, save: bool) -> None:
        scores, is_best = self._evaluate() if evaluate else ({}, False)
        if log or evaluate:
            self.write_scalars(scores)
        if is_best:
            self._write_checkpoint(best_checkpoint_path(self.run))
        if sample:
            self.write_samples()
        if save:
            self.write_step_checkpoint()

    def _is_due(self, every: int) -> bool:
        """Whether the step is a multiple of `every`, or the last; never where that is 0."""
        step = self.trainer.step
        return every > 0 and (step % every == 0 or step == self.config.steps)

    def save(self) -> None:
        """Write a checkpoint of this step, unless there is one. Raises Diverged."""
        if self.saved_step != self.trainer.step:
            self.trainer.check_finite()
            sampling.recalibrate_batch_norm(self.trainer.G_ema)
            if distributed.is_main():
                self.write_step_checkpoint()

    def flush(self) -> None:
        """Wait until everything is written. Raises the writer's error."""
        if distributed.is_main():
            self.recorder.flush()

    def out_of_patience(self) -> bool:
        """Whether the last --patience evaluations were no better than the best one.

        All processes get the answer of the main process, and must call this after the same step.
        """
        if not (self.config.patience and self._is_due(self.config.eval_every)):
            return False
        ours = self.best.out_of_patience(self.config.patience)
        return bool(distributed.max_over_processes(int(ours), self.trainer.device))

    def _evaluate(self) -> tuple[dict[str, float], bool]:
        """Scores of the averaged G, and whether they are the best so far."""
        with self.recorder.excluded_from_rate():
            scores = self.evaluator.scores(self.trainer.G_ema)
        is_best = self.best.update(self.trainer.step, scores)
        return {f"eval/{name}": value for name, value in scores.items()}, is_best

    def write_scalars(self, scores: dict[str, float]) -> None:
        """Log the means since the last line, diagnostics, learning rates and `scores`."""
        trainer, config = self.trainer, self.config
        rates = {"lr_G": get_lr(trainer.opt_G), "lr_D": get_lr(trainer.opt_D)}
        references = {
            "loss_at_chance": trainer.loss.loss_at_chance,
            "lr_factor": lr_factor((trainer.step - 1) / config.steps, config.lr_decay),
        }
        scored_in = describe_computation(trainer.device, config.precision)
        diagnostics = trainer.weight_diagnostics()
        self.recorder.write_scalars(diagnostics, rates, scores, references, scored_in)

    def write_samples(self) -> None:
        """Render the sample grids of G_ema and of G, and write them."""
        averaged, raw = (
            sampling.make_renderer(G, self.config.precision)(self.z)
            for G in (self.trainer.G_ema, self.trainer.G)
        )
        self.recorder.write_samples(averaged, raw)

    def write_step_checkpoint(self) -> None:
        """Write the checkpoint of this step, after `check_finite`."""
        self.saved_step = self.trainer.step
        self._write_checkpoint(checkpoint_path(self.run, self.trainer.step))

    def _write_checkpoint(self, path: Path) -> None:
        self.recorder.write_checkpoint(path, self.state())

    def state(self) -> RunState:
        """The contents of a checkpoint of this step; its tensors are no copies."""
        trainer, recorder = self.trainer, self.recorder
        labels = trainer.labels
        sums = {f"sums.{name}": total for name, total in recorder.means.sums.items()}
        return RunState(
            step=trainer.step,
            config=config_to_dict(self.config),
            data=self.packed.fingerprint,
            labels=labels.header() if labels else None,
            rollbacks=trainer.rollbacks,
            seconds=recorder.seconds(),
            metrics=recorder.metrics,
            summed_steps=recorder.means.added,
            health=recorder.monitor.state(),
            best=self.best.state(),
            tensors=trainer.tensors() | sums,
        )
