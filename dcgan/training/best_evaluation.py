"""The best evaluation of a run, for its best checkpoint and for early stopping."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan.config import TrainConfig
from dcgan.evaluation import higher_is_better
from dcgan.runs.checkpoint import require_count, require_number
from dcgan.runs.layout import best_checkpoint_path
from dcgan.runtime import distributed
from dcgan.runtime.terminal import print_lines


@dataclass
class BestEvaluation:
    """The best evaluation so far by one score, and how many have been no better since."""

    by: str  # name of the score
    images: int  # that are evaluated
    value: float | None = None
    step: int = 0
    misses: int = 0

    @classmethod
    def of(cls, config: TrainConfig, state: dict[str, Any] | None) -> "BestEvaluation":
        """The best evaluation in the state of a checkpoint. A new one without values if there is no
        state, or if it is of another score or another number of images.
        """
        fresh = cls(config.best_by, config.eval_images)
        saved = cls.from_state(state) if state else fresh
        return saved if (saved.by, saved.images) == (fresh.by, fresh.images) else fresh

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "BestEvaluation":
        """The inverse of `state`. Raises TypeError or ValueError for other values."""
        saved = cls(**state)
        for name in ("images", "step", "misses"):
            require_count(name, getattr(saved, name))
        if not isinstance(saved.by, str):
            raise TypeError(f"a score cannot be {saved.by!r}")
        if saved.value is not None:
            require_number(f"the best {saved.by}", saved.value)
        return saved

    def state(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return dataclasses.asdict(self)

    def update(self, step: int, scores: dict[str, float]) -> bool:
        """Take in an evaluation. Returns whether it is the best.

        Evaluations up to the step of the best one, repeated after a rollback, are no misses.
        """
        value = scores[self.by]
        higher = higher_is_better(self.by)
        if self.value is None or (value > self.value if higher else value < self.value):
            self.value, self.step, self.misses = value, step, 0
            return True
        self.misses += step > self.step
        return False

    def out_of_patience(self, patience: int) -> bool:
        """Whether `patience` evaluations since the best were no better; never if that is 0."""
        return 0 < patience <= self.misses

    def announce(self, patience: int, run: Path) -> None:
        """Print which evaluation of a run was the best, and whether patience has run out."""
        if self.value is None or not distributed.is_main():
            return
        if self.out_of_patience(patience):
            print_lines(f"stopped: {self.misses} evaluations were no better than the best")
        path = best_checkpoint_path(run)
        print_lines(f"best {self.by} {self.value:.4g}, of step {self.step}: {path}")
