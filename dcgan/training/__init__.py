"""Training: loop, step, losses, augmentation, EMA, optimizers, recorder, resume, monitoring."""

from dcgan.training.loop import train
from dcgan.training.trainer import Trainer

__all__ = ["Trainer", "train"]
