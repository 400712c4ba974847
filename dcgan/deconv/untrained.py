"""Untrained discriminators: the baseline of what training adds."""

import torch

from dcgan.networks import Discriminator, build_network
from dcgan.runs import Checkpoint
from dcgan.runs.checkpoint import network_options


def build_discriminator(found: Checkpoint, seed: int = 0) -> Discriminator:
    """An untrained D of the options of a checkpoint, as training initialises it."""
    num_labels = len(found.labels.names) if found.labels else 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_network(Discriminator, network_options(found.config), num_labels)
