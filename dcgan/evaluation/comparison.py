"""All scores of generated images against real ones that need no downloaded weights."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from dcgan.evaluation.frechet import fit_gaussian, frechet_distance
from dcgan.evaluation.kernel_distance import polynomial_mmd
from dcgan.evaluation.ms_ssim import mean_pair_similarity
from dcgan.evaluation.precision_recall import (
    Manifold,
    density_and_coverage,
    precision_and_recall,
)
from dcgan.evaluation.random_features import FeatureExtractor, to_rgb
from dcgan.evaluation.sliced_wasserstein import pyramid_distances

MAX_PAIRWISE_IMAGES = 10_000  # per set, for scores that compare all pairs of images
# Parts of score names, of which "inception" stands for the Inception Score.
_HIGHER_IS_BETTER = ("precision", "recall", "density", "coverage", "inception")
_BEST_NEAR_A_VALUE = ("density", "ms_ssim")


def has_better_direction(name: str) -> bool:
    """Whether higher or lower values of a score are better; density and MS-SSIM have an optimum."""
    return not any(part in name.lower() for part in _BEST_NEAR_A_VALUE)


def higher_is_better(name: str) -> bool:
    """Whether higher values of a score are better; for distances, lower values are."""
    return any(part in name.lower() for part in _HIGHER_IS_BETTER)


class FeatureComparison:
    """Scores of fake features against fixed real ones, [N, F] each.

    The Fréchet distance uses all features. The other scores, which compare all pairs, use the first
    10,000 of each set.
    """

    def __init__(self, real: Tensor):
        self.gaussian = fit_gaussian(real)
        self.real = real[:MAX_PAIRWISE_IMAGES]
        self.manifold3, self.manifold5 = Manifold(self.real, 3), Manifold(self.real, 5)

    def scores(self, fake: Tensor) -> dict[str, float]:
        """The scores frechet, kernel (x 1000), precision, recall, density and coverage."""
        frechet = frechet_distance(self.gaussian, fit_gaussian(fake))
        fake = fake[:MAX_PAIRWISE_IMAGES]
        precision, recall = precision_and_recall(self.manifold3, Manifold(fake, 3))
        density, coverage = density_and_coverage(self.manifold5, fake)
        return {
            "frechet": frechet,
            "kernel": 1000 * polynomial_mmd(self.real, fake),
            "precision": precision,
            "recall": recall,
            "density": density,
            "coverage": coverage,
        }


class _PixelComparison:
    """Scores of fake images against fixed real ones, uint8 [N, C, S, S] each."""

    def __init__(self, real: Tensor):
        self.real, self.real_similarity = real, mean_pair_similarity(real)

    def scores(self, fake: Tensor) -> dict[str, float]:
        """The scores swd (mean over the levels), swd_SIDE, ms_ssim and ms_ssim_real.

        The sliced Wasserstein distance needs sets of one size: it leaves out the last images of the
        larger set.
        """
        count = min(len(self.real), len(fake))
        # Real patches are computed anew: sorted once and kept, they would fill 100 MB for every
        # 500 images.
        levels = pyramid_distances(self.real[:count], fake[:count])
        return {
            "swd": sum(levels.values()) / len(levels),
            **{f"swd_{side}": distance for side, distance in levels.items()},
            "ms_ssim": mean_pair_similarity(fake),
            "ms_ssim_real": self.real_similarity,
        }


class Comparison:
    """Scores of fake images against fixed real ones, on features and on pixels.

    `real`: uint8 [n, S, S, C] in chunks, in random order, because slow scores use the first images
    alone: 10,000 for scores of all pairs, `pixel_images` for scores on pixels.
    """

    def __init__(
        self,
        real: Iterable[np.ndarray],
        extractor: FeatureExtractor,
        device: torch.device,
        pixel_images: int,
    ):
        self.extractor, self.device, self.pixel_images = extractor, device, pixel_images
        features, images = self._extract(real)
        self.on_features, self.on_pixels = FeatureComparison(features), _PixelComparison(images)

    @torch.inference_mode()
    def scores(self, fake: Iterable[np.ndarray]) -> dict[str, float]:
        """All scores of images uint8 [n, S, S, C] in chunks, 10 images or more in total."""
        features, images = self._extract(fake)
        return self.on_features.scores(features) | self.on_pixels.scores(images)

    def _extract(self, chunks: Iterable[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Features [N, F] of all images, and the first `pixel_images` images, [n, C, S, S]."""
        features, kept, missing = [], [], self.pixel_images
        for chunk in chunks:
            images = torch.from_numpy(chunk).to(self.device)
            features.append(self.extractor(to_rgb(images)))
            if missing > 0:  # even an empty view would keep the whole chunk in memory
                kept.append(images[:missing].permute(0, 3, 1, 2))
                missing -= len(chunk)
        return torch.cat(features), torch.cat(kept)
