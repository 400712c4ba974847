"""Quality and variety of generated images: a file for each metric; scores of checkpoints."""

from dcgan.evaluation.comparison import Comparison, higher_is_better
from dcgan.evaluation.random_features import RandomFeatures

__all__ = ["Comparison", "RandomFeatures", "higher_is_better"]
