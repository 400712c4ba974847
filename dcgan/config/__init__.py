"""The options of every command: the one home of their defaults, help texts and rules.

Only the options of training are imported at once, because the networks take their defaults from
them. Those of the other commands are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING

from dcgan.config.data import DataOptions, FitName, Levels, PrepareConfig, SourceName
from dcgan.config.networks import NETWORK_OPTIONS, NetworkOptions, validate_network
from dcgan.config.presets import PRESETS
from dcgan.config.train_config import TrainConfig, config_from_dict, config_to_dict, has_penalties
from dcgan.config.training import EvaluationOptions, LossOptions
from dcgan.config.validation import (
    MIN_IMAGES,
    format_flag,
    format_option,
    require,
    require_ending,
)

if TYPE_CHECKING:
    from dcgan.config.evaluation import (
        DEFAULT_MAX_IMAGES,
        DEFAULT_MEMORIZATION_IMAGES,
        EvaluateConfig,
        NeighboursConfig,
    )
    from dcgan.config.latent import MIN_FRAME_SECONDS, CanvasConfig, WalkConfig
    from dcgan.config.reports import CompareConfig, TimelapseConfig, validate_duration
    from dcgan.config.sampling import (
        DEFAULT_CHECKPOINT,
        DEFAULT_GRID,
        SampleConfig,
        SamplingOptions,
        parse_seeds,
    )

__all__ = [
    "DEFAULT_CHECKPOINT",
    "DEFAULT_GRID",
    "DEFAULT_MAX_IMAGES",
    "DEFAULT_MEMORIZATION_IMAGES",
    "MIN_FRAME_SECONDS",
    "MIN_IMAGES",
    "NETWORK_OPTIONS",
    "PRESETS",
    "CanvasConfig",
    "CompareConfig",
    "DataOptions",
    "EvaluateConfig",
    "EvaluationOptions",
    "FitName",
    "Levels",
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
    "config_from_dict",
    "config_to_dict",
    "format_flag",
    "format_option",
    "has_penalties",
    "parse_seeds",
    "require",
    "require_ending",
    "validate_duration",
    "validate_network",
]

_MODULES = {
    "DEFAULT_MAX_IMAGES": "evaluation",
    "DEFAULT_MEMORIZATION_IMAGES": "evaluation",
    "EvaluateConfig": "evaluation",
    "NeighboursConfig": "evaluation",
    "CompareConfig": "reports",
    "TimelapseConfig": "reports",
    "validate_duration": "reports",
    "DEFAULT_CHECKPOINT": "sampling",
    "DEFAULT_GRID": "sampling",
    "CanvasConfig": "latent",
    "MIN_FRAME_SECONDS": "latent",
    "SampleConfig": "sampling",
    "SamplingOptions": "sampling",
    "WalkConfig": "latent",
    "parse_seeds": "sampling",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(importlib.import_module(f"dcgan.config.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'dcgan.config' has no attribute {name!r}")
