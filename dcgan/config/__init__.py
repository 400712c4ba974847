"""The options of every command: the one home of their defaults, help texts and rules."""

from dcgan.config.evaluation import EvaluateConfig, NeighboursConfig
from dcgan.config.options import (
    DataOptions,
    EvaluationOptions,
    NetworkOptions,
    ObjectiveOptions,
    SourceName,
)
from dcgan.config.presets import PRESETS
from dcgan.config.reports import CompareConfig, TimelapseConfig
from dcgan.config.sampling import DrawOptions, SampleConfig, WalkConfig, parse_seeds
from dcgan.config.train_config import PrepareConfig, TrainConfig, has_penalties, to_json

__all__ = [
    "PRESETS",
    "CompareConfig",
    "DataOptions",
    "DrawOptions",
    "EvaluateConfig",
    "EvaluationOptions",
    "NeighboursConfig",
    "NetworkOptions",
    "ObjectiveOptions",
    "PrepareConfig",
    "SampleConfig",
    "SourceName",
    "TimelapseConfig",
    "TrainConfig",
    "WalkConfig",
    "has_penalties",
    "parse_seeds",
    "to_json",
]
