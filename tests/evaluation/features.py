"""Synthetic features for the tests of metrics on features."""

import numpy as np
import torch
from torch import Tensor


def normal(n: int, dims: int, seed: int, scale=1.0, shift=0.0) -> Tensor:
    """Features of a normal distribution, float64 [n, dims]."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, dims)) * scale + shift)
