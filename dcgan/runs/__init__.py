"""The run folder: checkpoints, logs and sample grids, written and read."""

from dcgan.runs.checkpoint import Checkpoint
from dcgan.runs.loading import load_discriminator, load_generator, load_pretrained
from dcgan.runs.metrics_file import read_metrics

__all__ = ["Checkpoint", "load_discriminator", "load_generator", "load_pretrained", "read_metrics"]
