"""How close generated images are to real ones, in numbers that need no weights of others."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from dcgan.evaluation import distances, ms_ssim, sliced_wasserstein
from dcgan.evaluation.distances import Manifold
from dcgan.evaluation.random_features import Extractor, to_rgb

MAX_PAIRWISE_IMAGES = 10_000  # images of a set whose features are compared with all others
RISING = ("precision", "recall", "density", "coverage", "inception")  # in names: higher is better


BALANCED = ("density", "ms_ssim")  # in names: best near a value of its own, neither high nor low


def has_better_direction(name: str) -> bool:
    """Of a score, by its name: whether the more, or the less, the better."""
    return not any(word in name.lower() for word in BALANCED)


def higher_is_better(name: str) -> bool:
    """Of a score, by its name; of most, lower is."""
    return any(word in name.lower() for word in RISING)


class FeatureComparison:
    """Fake features against real ones [N, F]; what only depends on the real ones is done once.

    All of them count for the Fréchet distance, and the first 10,000 for what looks at all pairs.
    """

    def __init__(self, real: Tensor):
        self.gaussian = distances.gaussian(real)
        self.real = real[:MAX_PAIRWISE_IMAGES]
        self.third, self.fifth = Manifold(self.real, 3), Manifold(self.real, 5)

    def scores(self, fake: Tensor) -> dict[str, float]:
        """frechet, kernel (times 1000), precision, recall, density, coverage: see `distances`."""
        frechet = distances.frechet(self.gaussian, distances.gaussian(fake))
        fake = fake[:MAX_PAIRWISE_IMAGES]
        precision, recall = distances.precision_recall(self.third, Manifold(fake, 3))
        density, coverage = distances.density_coverage(self.fifth, fake)
        return {
            "frechet": frechet,
            "kernel": 1000 * distances.kernel_distance(self.real, fake),
            "precision": precision,
            "recall": recall,
            "density": density,
            "coverage": coverage,
        }


class PixelComparison:
    """Fake images against real ones, uint8 [N, C, S, S]."""

    def __init__(self, real: Tensor):
        self.real, self.similarity = real, ms_ssim.diversity(real)

    def scores(self, fake: Tensor) -> dict[str, float]:
        """swd and swd_SIDE: see `pyramid`; ms_ssim and ms_ssim_real: see `similarity`.

        The sliced Wasserstein distance is that of as many images as both sets have.
        """
        count = min(len(self.real), len(fake))
        # Sorted once, the real side would fill 100 MB for every 500 images.
        levels = sliced_wasserstein.distances(self.real[:count], fake[:count])
        return {
            "swd": sum(levels.values()) / len(levels),
            **{f"swd_{side}": distance for side, distance in levels.items()},
            "ms_ssim": ms_ssim.diversity(fake),
            "ms_ssim_real": self.similarity,
        }


class Comparison:
    """Fake images against real ones, by their features and by their pixels.

    `real`: uint8 [n, S, S, C] in chunks, in random order, since the first images stand for all
    where a number is too slow for all: `pixels` of them for the numbers of `PixelComparison`.
    """

    def __init__(
        self, real: Iterable[np.ndarray], extractor: Extractor, device: torch.device, pixels: int
    ):
        self.extractor, self.device, self.pixels = extractor, device, pixels
        features, images = self.seen(real)
        self.features, self.images = FeatureComparison(features), PixelComparison(images)

    @torch.inference_mode()
    def scores(self, fake: Iterable[np.ndarray]) -> dict[str, float]:
        """Of images uint8 [n, S, S, C] in chunks, 10 at least, whatever their number."""
        features, images = self.seen(fake)
        return self.features.scores(features) | self.images.scores(images)

    def seen(self, chunks: Iterable[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Features [N, F] of all images, and the first `pixels` images [n, C, S, S] themselves."""
        features, kept, missing = [], [], self.pixels
        for chunk in chunks:
            images = torch.from_numpy(chunk).to(self.device)
            features.append(self.extractor(to_rgb(images)))
            if missing > 0:  # a view of none of them would keep them all in memory
                kept.append(images[:missing].permute(0, 3, 1, 2))
                missing -= len(chunk)
        return torch.cat(features), torch.cat(kept)
