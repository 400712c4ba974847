"""The configuration of a training run: all its options in one dataclass, validated."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan.config.data import DataOptions, validate_data
from dcgan.config.networks import (
    NETWORK_OPTIONS,
    ImageOptions,
    NetworkOptions,
    validate_network,
)
from dcgan.config.training import (
    ComputeOptions,
    EvaluationOptions,
    Implied,
    LossOptions,
    OptimizationOptions,
    RunOptions,
)
from dcgan.config.validation import MIN_IMAGES, require, require_at_least, validate_types
from dcgan.errors import UsageError

OF_OLDER_RUNS = {"held_out_share": 0.0}  # options that were added later, as runs had it before


@dataclass(frozen=True)
class TrainConfig(
    EvaluationOptions,
    RunOptions,
    ComputeOptions,
    OptimizationOptions,
    LossOptions,
    DataOptions,
    NetworkOptions,
    ImageOptions,
):
    """All options of a training run. Raises UsageError for invalid values."""

    def __post_init__(self) -> None:
        validate_types(self)
        validate_network(**{name: getattr(self, name) for name in NETWORK_OPTIONS})
        validate_data(self)
        _decide_penalties(self)
        _validate_loss(self)
        _validate_optimization(self)
        require_at_least(1, self, "threads", "log_every", "sample_every", "save_every")
        require_at_least(0, self, "keep", "eval_every", "patience")
        require_at_least(MIN_IMAGES, self, "eval_images")
        printable = str(self.out).isprintable()  # TensorBoard cannot log to other names
        require(printable, "out", ascii(str(self.out)), "a printable name")
        if self.data and self.root:
            raise UsageError("--data and --root exclude each other: leave one out")
        if self.patience and not self.eval_every:
            raise UsageError("--patience counts evaluations: give --eval-every too")


def has_penalties(config: LossOptions) -> bool:
    """Whether the loss of D includes a gradient penalty."""
    return bool(config.r1 or config.r2 or config.gradient_penalty)


def config_to_dict(config: TrainConfig) -> dict[str, Any]:
    """The options as values that JSON can hold: paths become strings."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(config).items()
    }


def _decide_penalties(config: TrainConfig) -> None:
    for name in ("r1", "r2"):
        if isinstance(getattr(config, name), Implied):
            weight = _implied_weight(name, config.gradient_penalty)
            object.__setattr__(config, name, weight)  # the class is frozen


def _implied_weight(name: str, gradient_penalty: object) -> Implied:
    """The default weight of R1 or R2: 0 beside the WGAN-GP penalty, which pulls the gradients of D
    to 1, while they pull them to 0.
    """
    return Implied(0) if gradient_penalty else getattr(TrainConfig, name)


def config_from_dict(values: Mapping[str, Any]) -> TrainConfig:
    """The inverse of `config_to_dict`, also after JSON, which cannot tell a default from the same
    number: defaults that follow other options stay such. Options that older runs did not store are
    what they did. Raises UsageError for unknown options or invalid values.
    """
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    if unknown := sorted(set(values) - known):
        raise UsageError(f"{', '.join(unknown)}: no options of this dcgan")
    options = OF_OLDER_RUNS | dict(values)
    for name in ("r1", "r2"):
        implied = _implied_weight(name, options.get("gradient_penalty"))
        if options.get(name) == implied:
            options[name] = implied
    return TrainConfig(**options)


def _validate_loss(config: TrainConfig) -> None:
    for name in ("r1", "r2", "gradient_penalty"):
        weight = getattr(config, name)
        require(0 <= weight < math.inf, name, weight, "at least 0, and finite")
    require_at_least(1, config, "penalty_every")
    smoothing, p = config.label_smoothing, config.augment_p
    require(0 <= smoothing < 1, "label_smoothing", smoothing, "at least 0, below 1")
    valid = isinstance(p, str) or 0 <= p <= 1
    require(valid, "augment_p", p, "from 0 to 1, adaptive or auto")
    if len(set(config.augment)) < len(config.augment):
        raise UsageError(f"--augment {' '.join(config.augment)}: name each augmentation once")
    if smoothing and config.loss != "non-saturating":
        raise UsageError("--label-smoothing needs --loss non-saturating")
    penalized = has_penalties(config)
    if config.loss in ("wasserstein", "relativistic") and not (penalized or config.spectral_norm):
        raise UsageError(
            f"--loss {config.loss} needs a smooth D: "
            "give --gradient-penalty, --r1, --r2 or --spectral-norm"
        )
    if config.penalty_every != LossOptions.penalty_every and not penalized:
        raise UsageError(
            f"--penalty-every {config.penalty_every}: there is no penalty; "
            "give --r1, --r2 or --gradient-penalty, or leave it out"
        )
    if not config.augment and p not in (0, "auto"):
        raise UsageError(f"--augment-p {p} needs --augment with one augmentation or more")


def _validate_optimization(config: TrainConfig) -> None:
    require_at_least(1, config, "steps", "d_steps", "accumulate")
    require_at_least(0, config, "ema_images", "seed")
    share = config.held_out_share
    require(0 <= share <= 0.5, "held_out_share", share, "from 0 to 0.5")
    require(config.seed < 2**63, "seed", config.seed, "below 2^63")
    size, parts = config.batch_size, config.accumulate
    require(size >= 2, "batch_size", size, "at least 2 (for batch norm)")
    divides = size % parts == 0 and size // parts >= 2
    rule = f"a divisor of --batch-size {size} that leaves 2 images or more per micro-batch"
    require(divides, "accumulate", parts, rule)
    for name in ("lr_G", "lr_D"):
        require(0 < getattr(config, name) < 1, name, getattr(config, name), "between 0 and 1")
    for name in ("beta1", "beta2"):
        require(0 <= getattr(config, name) < 1, name, getattr(config, name), "at least 0, below 1")
    # A limit of 1 or less would shrink the gradients for ever: the running RMS follows them down.
    valid = config.clip == 0 or 1 < config.clip < math.inf
    require(valid, "clip", config.clip, "above 1, or 0 for no clipping")
