"""The adversarial game: step, losses, regularisation, loop, recorder, resume."""

from dcgan.training.loop import train
from dcgan.training.trainer import Trainer

__all__ = ["Trainer", "train"]
