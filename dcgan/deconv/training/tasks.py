"""The tasks of a run that recur every N steps: logging, scores and pictures, checkpoints."""

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from dcgan.data import PackedImages
from dcgan.deconv.training.held_out import hold_out
from dcgan.deconv.training.state import NetworkState
from dcgan.deconv.training.trainer import NetworkTrainer
from dcgan.errors import UserError
from dcgan.runs.checkpoint_folder import latest_checkpoint
from dcgan.runs.layout import checkpoint_path
from dcgan.runs.recorder import RunRecorder
from dcgan.training.optimizer import get_lr

_EVALUATED = 128  # held-out images whose scores are logged
_DIVERGED = 10.0  # times the first loss that was logged


class NetworkTasks(ABC):
    """Does what is due after each step of a trainer, in its run folder, inside its `recorder`."""

    State: type[NetworkState]

    def __init__(
        self, trainer: NetworkTrainer, packed: PackedImages, state: NetworkState | None = None
    ):
        """`state`: that of the checkpoint that the trainer was loaded from, None for a new run."""
        self.trainer, self.config, self.packed = trainer, trainer.config, packed
        self.options = self.config.to_dict()
        self.recorder = RunRecorder(self.options, self.config.out, trainer.device, state)
        held_out = hold_out(len(packed), self.config.held_out, self.config.seed)[1]
        self.evaluated, self.saved_step = held_out[:_EVALUATED], trainer.step
        self.first_loss: float | None = None  # of those logged since the run was begun or resumed

    @abstractmethod
    def evaluate(self) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Scores of the held-out images `evaluated` by name, and pictures uint8 [H, W, 3] by name.

        The first picture is written into the folder of samples too.
        """

    def state_fields(self) -> dict[str, Any]:
        """The fields that a subclass of NetworkState adds."""
        return {}

    def after_step(self, scalars: dict) -> None:
        """Record the 0-dim scalars of the last step, and do the tasks that are due after it.

        Raises UserError for a loss that is not finite, and where an earlier write has failed.
        """
        config = self.config
        log, sample = self._is_due(config.log_every), self._is_due(config.sample_every)
        save = self._is_due(config.save_every)
        if log or sample or save:
            self._check_finite()
        self.recorder.add_step(self.trainer.step, scalars)
        scores = self._write_scores() if sample else {}
        if log or sample:
            self._write_line(scores)
        if save:
            self.save()

    def save(self) -> None:
        """Write a checkpoint of this step, unless there is one. Raises as `after_step`."""
        if self.saved_step != self.trainer.step:
            self._check_finite()
            self.saved_step = self.trainer.step
            path = checkpoint_path(self.config.out, self.trainer.step)
            self.recorder.write_checkpoint(path, self.state())

    def save_at_once(self) -> None:
        """Write a checkpoint of this step, and wait until everything is written."""
        self.save()
        self.recorder.flush()

    def state(self) -> NetworkState:
        """The contents of a checkpoint of this step; its tensors are no copies."""
        trainer, recorder = self.trainer, self.recorder
        sums = {f"sums.{name}": total for name, total in recorder.means.sums.items()}
        return self.State(
            step=trainer.step,
            config=self.options,
            data=self.packed.fingerprint,
            seconds=recorder.seconds(),
            metrics=recorder.metrics,
            summed_steps=recorder.means.added,
            tensors=trainer.tensors() | sums,
            **self.state_fields(),
        )

    def _is_due(self, every: int) -> bool:
        """Whether the step is a multiple of `every`, or the last."""
        step = self.trainer.step
        return step % every == 0 or step == self.config.steps

    def _write_line(self, scores: dict[str, float]) -> None:
        """Log the means since the last line, and scores of held-out images."""
        means = self.recorder.means.read()  # waits for the device
        rate = {"lr": get_lr(self.trainer.optimizer)}
        self.recorder.write_line({**rate, **means, **scores}, {}, f", loss {means['loss']:.4f}")
        self._warn_of_divergence(means["loss"])

    def _warn_of_divergence(self, loss: float) -> None:
        """Print once, above the progress bar, that the loss has grown far beyond the first one."""
        if self.first_loss is None:
            self.first_loss = loss
        elif loss > _DIVERGED * self.first_loss:
            grown = f"the loss has grown from {self.first_loss:.4g} to {loss:.4g}"
            self.recorder.warn(f"{grown}: start again with a lower --lr")
            self.first_loss = math.inf

    def _write_scores(self) -> dict[str, float]:
        """The scores of held-out images; writes the pictures."""
        with self.recorder.excluded_from_rate():
            scores, pictures = self.evaluate()
            for place, (name, picture) in enumerate(pictures.items()):
                if place == 0:
                    log = self.recorder.log.add_sample_picture
                    step, tag = self.trainer.step, f"samples/{name}"
                    self.recorder.writer.submit(log, step, tag, picture)
                else:
                    self.recorder.write_image(f"samples/{name}", picture)
        return scores

    def _check_finite(self) -> None:
        """Raise UserError where a loss or gradient was not finite. Waits for the device."""
        if self.trainer.found_non_finite.item():
            self.recorder.flush()
            found = latest_checkpoint(self.config.out, kind=self.State.kind)
            raise UserError(
                f"the loss is not finite at step {self.trainer.step}: try a lower --lr; the last "
                f"good checkpoint is {found.path if found else 'none'}"
            )
