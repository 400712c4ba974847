"""The options of every command: the one home of their defaults, help texts and rules."""

from dcgan.config.data import DataOptions, PrepareConfig, SourceName
from dcgan.config.evaluation import (
    DEFAULT_MAX_IMAGES,
    DEFAULT_MEMORIZATION_IMAGES,
    EvaluateConfig,
    NeighboursConfig,
    validate_evaluation,
    validate_memorization,
)
from dcgan.config.networks import NETWORK_OPTIONS, NetworkOptions, validate_network
from dcgan.config.presets import PRESETS
from dcgan.config.reports import CompareConfig, TimelapseConfig
from dcgan.config.sampling import (
    MIN_FRAME_SECONDS,
    SampleConfig,
    SamplingOptions,
    WalkConfig,
    parse_seeds,
)
from dcgan.config.train_config import TrainConfig, config_to_dict, has_penalties
from dcgan.config.training import EvaluationOptions, LossOptions
from dcgan.config.validation import MIN_IMAGES, format_flag, format_option, require

__all__ = [
    "DEFAULT_MAX_IMAGES",
    "DEFAULT_MEMORIZATION_IMAGES",
    "MIN_FRAME_SECONDS",
    "MIN_IMAGES",
    "NETWORK_OPTIONS",
    "PRESETS",
    "CompareConfig",
    "DataOptions",
    "EvaluateConfig",
    "EvaluationOptions",
    "LossOptions",
    "NeighboursConfig",
    "NetworkOptions",
    "PrepareConfig",
    "SampleConfig",
    "SamplingOptions",
    "SourceName",
    "TimelapseConfig",
    "TrainConfig",
    "WalkConfig",
    "config_to_dict",
    "format_flag",
    "format_option",
    "has_penalties",
    "parse_seeds",
    "require",
    "validate_evaluation",
    "validate_memorization",
    "validate_network",
]
