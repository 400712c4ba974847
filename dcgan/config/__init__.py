"""The options of every command: the one home of their defaults, help texts and rules.

Only the options of training are imported at once, because the networks take their defaults from
them. Those of the other commands are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING

from dcgan.config.data import DataOptions, FitName, Levels, MaskOptions, PrepareConfig, SourceName
from dcgan.config.networks import NETWORK_OPTIONS, NetworkOptions, validate_network
from dcgan.config.presets import PRESETS
from dcgan.config.train_config import (
    OF_OLDER_RUNS,
    TrainConfig,
    config_from_dict,
    config_to_dict,
    has_penalties,
)
from dcgan.config.training import EvaluationOptions, LossOptions
from dcgan.config.validation import (
    MIN_IMAGES,
    format_flag,
    format_option,
    require,
    require_ending,
)

if TYPE_CHECKING:
    from dcgan.config.arithmetic import ArithmeticConfig
    from dcgan.config.canvas import CanvasConfig
    from dcgan.config.demo import DemoConfig
    from dcgan.config.denoising import (
        DenoiseApplyConfig,
        DenoiseEvaluateConfig,
        DenoiseTrainConfig,
    )
    from dcgan.config.direction import DirectionConfig
    from dcgan.config.evaluation import (
        DEFAULT_MAX_IMAGES,
        DEFAULT_MEMORIZATION_IMAGES,
        EFFICIENTNET,
        EvaluateConfig,
        NeighboursConfig,
    )
    from dcgan.config.export import ExportConfig
    from dcgan.config.features import FeaturesConfig
    from dcgan.config.forget import ForgetConfig
    from dcgan.config.importing import ImportConfig
    from dcgan.config.inversion import InvertConfig
    from dcgan.config.push import PushConfig
    from dcgan.config.reports import CompareConfig, TimelapseConfig, validate_duration
    from dcgan.config.sampling import (
        DEFAULT_CHECKPOINT,
        DEFAULT_GRID,
        SampleConfig,
        SamplingOptions,
        parse_seeds,
    )
    from dcgan.config.segmentation import (
        SEGMENT_PRESETS,
        SegmentEvaluateConfig,
        SegmentPredictConfig,
        SegmentTrainConfig,
    )
    from dcgan.config.sizes import SizesConfig
    from dcgan.config.sparse import SparseConfig
    from dcgan.config.stops import Stop, is_stops, parse_stops
    from dcgan.config.visualize import VisualizeConfig
    from dcgan.config.walk import MIN_FRAME_SECONDS, WalkConfig

__all__ = [
    "DEFAULT_CHECKPOINT",
    "DEFAULT_GRID",
    "DEFAULT_MAX_IMAGES",
    "DEFAULT_MEMORIZATION_IMAGES",
    "EFFICIENTNET",
    "MIN_FRAME_SECONDS",
    "MIN_IMAGES",
    "NETWORK_OPTIONS",
    "OF_OLDER_RUNS",
    "PRESETS",
    "SEGMENT_PRESETS",
    "ArithmeticConfig",
    "CanvasConfig",
    "CompareConfig",
    "DataOptions",
    "DemoConfig",
    "DenoiseApplyConfig",
    "DenoiseEvaluateConfig",
    "DenoiseTrainConfig",
    "DirectionConfig",
    "EvaluateConfig",
    "EvaluationOptions",
    "ExportConfig",
    "FeaturesConfig",
    "FitName",
    "ForgetConfig",
    "ImportConfig",
    "InvertConfig",
    "Levels",
    "LossOptions",
    "MaskOptions",
    "NeighboursConfig",
    "NetworkOptions",
    "PrepareConfig",
    "PushConfig",
    "SampleConfig",
    "SamplingOptions",
    "SegmentEvaluateConfig",
    "SegmentPredictConfig",
    "SegmentTrainConfig",
    "SizesConfig",
    "SourceName",
    "SparseConfig",
    "Stop",
    "TimelapseConfig",
    "TrainConfig",
    "VisualizeConfig",
    "WalkConfig",
    "config_from_dict",
    "config_to_dict",
    "format_flag",
    "format_option",
    "has_penalties",
    "is_stops",
    "parse_seeds",
    "parse_stops",
    "require",
    "require_ending",
    "validate_duration",
    "validate_network",
]

_MODULES = {
    "DEFAULT_MAX_IMAGES": "evaluation",
    "DEFAULT_MEMORIZATION_IMAGES": "evaluation",
    "EFFICIENTNET": "evaluation",
    "EvaluateConfig": "evaluation",
    "NeighboursConfig": "evaluation",
    "ExportConfig": "export",
    "FeaturesConfig": "features",
    "ForgetConfig": "forget",
    "CompareConfig": "reports",
    "TimelapseConfig": "reports",
    "validate_duration": "reports",
    "DEFAULT_CHECKPOINT": "sampling",
    "DEFAULT_GRID": "sampling",
    "MIN_FRAME_SECONDS": "walk",
    "ArithmeticConfig": "arithmetic",
    "ImportConfig": "importing",
    "InvertConfig": "inversion",
    "PushConfig": "push",
    "SampleConfig": "sampling",
    "SamplingOptions": "sampling",
    "CanvasConfig": "canvas",
    "DemoConfig": "demo",
    "DenoiseApplyConfig": "denoising",
    "DenoiseEvaluateConfig": "denoising",
    "DenoiseTrainConfig": "denoising",
    "SEGMENT_PRESETS": "segmentation",
    "SegmentEvaluateConfig": "segmentation",
    "SegmentPredictConfig": "segmentation",
    "SegmentTrainConfig": "segmentation",
    "DirectionConfig": "direction",
    "VisualizeConfig": "visualize",
    "WalkConfig": "walk",
    "parse_seeds": "sampling",
    "SizesConfig": "sizes",
    "SparseConfig": "sparse",
    "Stop": "stops",
    "is_stops": "stops",
    "parse_stops": "stops",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(importlib.import_module(f"dcgan.config.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'dcgan.config' has no attribute {name!r}")
