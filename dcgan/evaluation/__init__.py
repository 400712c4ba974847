"""Quality and variety of generated images: a file for each metric; scores of checkpoints."""

from dcgan.evaluation.comparison import (
    Comparison,
    FeatureComparison,
    has_better_direction,
    higher_is_better,
)
from dcgan.evaluation.memorization import report_memorization
from dcgan.evaluation.random_features import RandomFeatures, extract_features
from dcgan.evaluation.real_images import choose_images, read_images
from dcgan.evaluation.report import evaluate

__all__ = [
    "Comparison",
    "FeatureComparison",
    "RandomFeatures",
    "choose_images",
    "evaluate",
    "extract_features",
    "has_better_direction",
    "higher_is_better",
    "read_images",
    "report_memorization",
]
