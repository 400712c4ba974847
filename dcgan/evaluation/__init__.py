"""Quality and variety of generated images: a file for each metric; scores of checkpoints."""

from dcgan.evaluation.comparison import (
    Comparison,
    FeatureComparison,
    has_better_direction,
    higher_is_better,
)
from dcgan.evaluation.frechet import Gaussian, fit_gaussian, frechet_distance
from dcgan.evaluation.kernel_distance import polynomial_mmd
from dcgan.evaluation.memorization import CopyingTest, copying_test
from dcgan.evaluation.memorization_report import report_memorization
from dcgan.evaluation.ms_ssim import mean_pair_similarity, multiscale_ssim
from dcgan.evaluation.precision_recall import (
    Manifold,
    density_and_coverage,
    precision_and_recall,
)
from dcgan.evaluation.random_features import FeatureExtractor, RandomFeatures, extract_features
from dcgan.evaluation.real_images import choose_images, read_images
from dcgan.evaluation.report import evaluate
from dcgan.evaluation.sliced_wasserstein import pyramid_distances, sliced_wasserstein_distance

__all__ = [
    "Comparison",
    "CopyingTest",
    "FeatureComparison",
    "FeatureExtractor",
    "Gaussian",
    "Manifold",
    "RandomFeatures",
    "choose_images",
    "copying_test",
    "density_and_coverage",
    "evaluate",
    "extract_features",
    "fit_gaussian",
    "frechet_distance",
    "has_better_direction",
    "higher_is_better",
    "mean_pair_similarity",
    "multiscale_ssim",
    "polynomial_mmd",
    "precision_and_recall",
    "pyramid_distances",
    "read_images",
    "report_memorization",
    "sliced_wasserstein_distance",
]
