"""All scores of generated images against real ones that need no downloaded weights."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from dcgan.evaluation.frechet import Gaussian, GaussianFit, frechet_distance
from dcgan.evaluation.kernel_distance import polynomial_mmd
from dcgan.evaluation.ms_ssim import PairSimilarities
from dcgan.evaluation.pairwise import to_float64
from dcgan.evaluation.precision_recall import (
    Manifold,
    density_and_coverage,
    precision_and_recall,
)
from dcgan.evaluation.random_features import FeatureExtractor, extract_features
from dcgan.evaluation.sliced_wasserstein import PyramidPatches, patch_distances

MAX_PAIRWISE_IMAGES = 10_000  # per set, for scores that compare all pairs of images
_REAL_SEED, _FAKE_SEED = 0, 1  # of the places of patches
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
    """Scores of fake features against fixed real ones, in chunks [n, F] each.

    The Fréchet distance uses all features. The other scores, which compare all pairs, use the first
    10,000 of each set: only these are kept.
    """

    def __init__(self, real: Iterable[Tensor]):
        self.gaussian, self.real = _summarize(real)
        self.manifold3, self.manifold5 = Manifold(self.real, 3), Manifold(self.real, 5)

    def scores(self, fake: Iterable[Tensor]) -> dict[str, float]:
        """The scores frechet, kernel (x 1000), precision, recall, density and coverage."""
        gaussian, first = _summarize(fake)
        precision, recall = precision_and_recall(self.manifold3, Manifold(first, 3))
        density, coverage = density_and_coverage(self.manifold5, first)
        return {
            "frechet": frechet_distance(self.gaussian, gaussian),
            "kernel": 1000 * polynomial_mmd(self.real, first),
            "precision": precision,
            "recall": recall,
            "density": density,
            "coverage": coverage,
        }


def _summarize(chunks: Iterable[Tensor]) -> tuple[Gaussian, Tensor]:
    """A Gaussian fitted to all features [n, F], and the first 10,000 of them in float64."""
    fit, first = GaussianFit(), list[Tensor]()
    for features in chunks:
        if fit.count < MAX_PAIRWISE_IMAGES:
            first.append(features[: MAX_PAIRWISE_IMAGES - fit.count])
        fit.add(features)
    return fit.gaussian(), to_float64(torch.cat(first))


class _PixelStatistics:
    """What the scores on pixels need of the first `count` images of a set."""

    def __init__(self, count: int, seed: int, device: torch.device):
        self.patches, self.similarities = PyramidPatches(count, seed), PairSimilarities()
        self._missing, self._device = count, device

    def add(self, chunk: np.ndarray) -> None:
        """Take in the next images, uint8 [n, S, S, C], unless there are enough."""
        if self._missing:
            first = chunk[: self._missing]
            images = torch.from_numpy(first).to(self._device).permute(0, 3, 1, 2)
            self.patches.add(images)
            self.similarities.add(images)
            self._missing -= len(first)


class Comparison:
    """Scores of fake images against fixed real ones, on features and on pixels.

    `real`: uint8 [n, S, S, C] in chunks, in random order, because slow scores use the first images
    alone: 10,000 for scores of all pairs, `pixel_images` for scores on pixels. Both sets need
    `pixel_images` images or more. No image is kept.
    """

    def __init__(
        self,
        real: Iterable[np.ndarray],
        extractor: FeatureExtractor,
        device: torch.device,
        pixel_images: int,
    ):
        """Raises ValueError for fewer than `pixel_images` images."""
        self.extractor, self.device, self.pixel_images = extractor, device, pixel_images
        pixels = _PixelStatistics(pixel_images, _REAL_SEED, device)
        self.on_features = FeatureComparison(self._features(real, pixels))
        self.real_patches = pixels.patches.normalized()
        self.real_similarity = pixels.similarities.mean()

    @torch.inference_mode()
    def scores(self, fake: Iterable[np.ndarray]) -> dict[str, float]:
        """All scores of images uint8 [n, S, S, C] in chunks.

        Those of `FeatureComparison`, and on pixels swd (mean over the levels), swd_SIDE, ms_ssim
        and ms_ssim_real. Raises ValueError for fewer than `pixel_images` images.
        """
        pixels = _PixelStatistics(self.pixel_images, _FAKE_SEED, self.device)
        on_features = self.on_features.scores(self._features(fake, pixels))
        patches = pixels.patches.normalized()
        levels = patch_distances(self.real_patches, patches, self.device)
        return {
            **on_features,
            "swd": sum(levels.values()) / len(levels),
            **{f"swd_{side}": distance for side, distance in levels.items()},
            "ms_ssim": pixels.similarities.mean(),
            "ms_ssim_real": self.real_similarity,
        }

    def _features(self, chunks: Iterable[np.ndarray], pixels: _PixelStatistics) -> Iterator[Tensor]:
        """Features [n, F] of images in chunks, which are added to `pixels` on the way."""
        for chunk in chunks:
            pixels.add(chunk)
            yield from extract_features(self.extractor, [chunk], self.device)
