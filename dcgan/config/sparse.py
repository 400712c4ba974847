"""Options of `dcgan sparse`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.fields import POSITIONAL
from dcgan.config.training import ComputeOptions
from dcgan.config.validation import require, require_at_least, require_ending, validate_types

_MIN_WEIGHT, _MAX_WEIGHT = 1e-6, 1e6  # energies of float32 stay finite


@dataclass(frozen=True)
class SparseConfig:
    """Images to learn filters from, how, and the picture to write."""

    data: Path = dataclasses.field(kw_only=True, metadata=POSITIONAL)
    """Packed folder of the images, grey or in colour."""
    filters: int = 32
    """Number of filters."""
    size: int = 9
    """Side of the filters in pixels."""
    weight: float = 1.0
    """Weight of the squared error against sparsity (the paper's lambda). Larger: more exact
    reconstructions, from more values."""
    p: float = 1.0
    """Power of the penalty |z|^p of the feature maps, above 0 and at most 1."""
    count: int = 48
    """Number of images to learn from, a fixed random subset."""
    rounds: int = 30
    """Rounds of learning; each improves the feature maps, then the filters."""
    sigma: float = 5.0
    """Standard deviation in pixels of the window of the local contrast normalisation."""
    noise: float | None = None
    """Also denoise: signal-to-noise ratio in dB of images with added noise, which the filters
    reconstruct. Default: no denoising."""
    seed: int = 0
    """Of the images, the first filters and the noise."""
    device: str = ComputeOptions.device
    """Device to compute on: auto, cuda, cuda:N, mps or cpu. auto: cuda if available, else mps, else
    cpu."""
    out: Path = Path("filters.png")
    """Picture to write (.png): the filters, images beside their reconstructions, and the energy
    along the rounds."""

    def __post_init__(self) -> None:
        validate_types(self)
        require_at_least(1, self, "filters", "size", "count", "rounds")
        valid = _MIN_WEIGHT <= self.weight <= _MAX_WEIGHT
        require(valid, "weight", self.weight, f"from {_MIN_WEIGHT:g} to {_MAX_WEIGHT:g}")
        require(0 < self.sigma < float("inf"), "sigma", self.sigma, "a number above 0")
        require(0 < self.p <= 1, "p", self.p, "above 0 and at most 1")
        valid = self.noise is None or -100 <= self.noise <= 100
        require(valid, "noise", self.noise, "from -100 to 100 dB")
        require(0 <= self.seed < 2**63, "seed", self.seed, "from 0 to 2^63 - 1")
        require_ending(self.out, ".png", "out")
