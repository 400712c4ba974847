"""How good and how varied generated images are: one metric a file, and the scores of checkpoints."""

from dcgan.evaluation.comparison import Comparison, higher_is_better
from dcgan.evaluation.random_features import RandomFeatures

__all__ = ["Comparison", "RandomFeatures", "higher_is_better"]
