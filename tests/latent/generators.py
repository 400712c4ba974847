"""Generators with random weights whose images have contrast, for the tests beside this file."""

import numpy as np
import torch

from dcgan.latent import Labels
from dcgan.networks import Generator

CLASSES = Labels("class", ("cat", "dog", "owl"), np.array([5, 3, 2]))
ATTRIBUTES = Labels(
    "attributes", ("hat", "beard"), np.array([4, 3, 3]), np.uint8([[0], [64], [192]])
)


def make_generator(labels: Labels | None = None, **options) -> Generator:
    """A generator in evaluation mode with the batch norm statistics of its weights."""
    options = {"size": 16, "width": 8, "latent_dim": 6, **options}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        G = Generator(**options, num_labels=len(labels.names) if labels else 0)
        G.labels = labels
        with torch.no_grad():
            G.layers[-2].weight.mul_(20)
            for _ in range(40):
                z = torch.randn(64, G.latent_dim)
                if labels:
                    z = torch.cat([z, labels.from_seeds(range(64))], 1)
                G(z)
    return G.requires_grad_(False).eval()
