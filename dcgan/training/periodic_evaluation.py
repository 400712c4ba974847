"""Evaluation along a training run: how good the averaged generator is, and when it was best."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from dcgan import sampling
from dcgan.config import TrainConfig
from dcgan.data import PackedImages
from dcgan.errors import UserError
from dcgan.evaluation import (
    Comparison,
    RandomFeatures,
    choose_images,
    higher_is_better,
    read_images,
)
from dcgan.networks import Generator
from dcgan.runs import checkpoint
from dcgan.runs.checkpoint import Checkpoint
from dcgan.runs.layout import best_checkpoint_path
from dcgan.runs.run_folder import warn_skipped
from dcgan.runtime import distributed

PIXEL_IMAGES = 500  # images for what is computed from pixels


@dataclass
class Best:
    """The best evaluation so far, by one score, and how many have been no better since."""

    by: str
    images: int
    value: float | None = None
    step: int = 0
    misses: int = 0

    @classmethod
    def of_run(cls, config: TrainConfig, run: Path, found: Checkpoint | None) -> "Best":
        """As the checkpoint that a run goes on from has it, or as best.safetensors does where that
        is of a later step: the steps are taken once more, and perhaps another way.

        Raises UserError where the checkpoint has nonsense.
        """
        best, path = cls.of(config, found), best_checkpoint_path(run)
        if not path.is_file():
            return best
        try:
            kept = cls.of(config, checkpoint.read(path))
        except UserError as error:
            warn_skipped(error)
            return best
        later = kept.value is not None and kept.step > (found.step if found else 0)
        return kept if later else best

    @classmethod
    def of(cls, config: TrainConfig, found: Checkpoint | None) -> "Best":
        """As a checkpoint has it; from nothing where that is of another score or other images.

        Raises UserError where the checkpoint has nonsense.
        """
        fresh = cls(config.best_by, config.eval_images)
        if not found or "best" not in found.header:
            return fresh
        try:
            saved = cls(**found.header["best"])
            for name in ("images", "step", "misses"):
                checkpoint.check_whole(name, getattr(saved, name))
            if saved.value is not None and type(saved.value) not in (int, float):
                raise ValueError(f"the best {saved.by} cannot be {saved.value!r}")
        except (TypeError, ValueError) as error:
            raise checkpoint.damaged(found.path, error) from error
        same = (saved.by, saved.images) == (fresh.by, fresh.images)
        return saved if same else fresh

    def update(self, step: int, scores: dict[str, float]) -> bool:
        """Take in an evaluation. Returns whether it is the best.

        Up to the step of the best none is a miss: there the run has been before.
        """
        value = scores[self.by]
        higher = higher_is_better(self.by)
        if self.value is None or (value > self.value if higher else value < self.value):
            self.value, self.step, self.misses = value, step, 0
            return True
        self.misses += step > self.step
        return False

    def stalled(self, patience: int) -> bool:
        """Whether so many evaluations have been no better; never where `patience` is 0."""
        return 0 < patience <= self.misses

    def announce(self, patience: int, run: Path) -> None:
        """Say which evaluation of a run was the best, and that patience ran out if it did."""
        if self.value is None or not distributed.is_main():
            return
        if self.stalled(patience):
            print(f"stopped: {self.misses} evaluations were no better than the best")
        path = best_checkpoint_path(run)
        print(f"best {self.by} {self.value:.4g}, of step {self.step}: {path}")

    def header(self) -> dict:
        """What a checkpoint's header holds."""
        return dataclasses.asdict(self)


class Evaluator:
    """Scores of a generator on the same latents, against the same real images, every time.

    It draws no random numbers, so that the training goes on as if it had not been there.
    """

    def __init__(self, config: TrainConfig, packed: PackedImages, device: torch.device):
        """Looks at the real images: `eval_images` of them. Raises UserError for too few."""
        self.config = config
        real = read_images(packed, choose_images(packed, config.eval_images))
        self.comparison = Comparison(real, RandomFeatures().to(device), device, PIXEL_IMAGES)

    def scores(self, G: Generator) -> dict[str, float]:
        """What `metrics.Comparison` says of the images of seeds 0, 1, 2, ..."""
        seeds = range(self.config.eval_images)
        return self.comparison.scores(sampling.sample(G, seeds, precision=self.config.precision))
