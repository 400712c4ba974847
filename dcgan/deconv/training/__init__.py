"""Training of a single network: the run that denoising autoencoders and FCNs have in common."""

from dcgan.deconv.training.held_out import hold_out
from dcgan.deconv.training.loop import Training, train_network
from dcgan.deconv.training.resuming import options_of_run
from dcgan.deconv.training.state import NetworkState
from dcgan.deconv.training.tasks import NetworkTasks
from dcgan.deconv.training.trainer import NetworkTrainer

__all__ = [
    "NetworkState",
    "NetworkTasks",
    "NetworkTrainer",
    "Training",
    "hold_out",
    "options_of_run",
    "train_network",
]
