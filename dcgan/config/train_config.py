"""All options of training and of packing together, flat, with the rules that they keep."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.options import (
    DataOptions,
    EvaluationOptions,
    ImageOptions,
    LossOptions,
    NetworkOptions,
    OptimizationOptions,
    PackedOptions,
    RunOptions,
)
from dcgan.config.validation import (
    MIN_IMAGES,
    NETWORK_OPTIONS,
    require,
    validate_network,
    validate_size,
)
from dcgan.errors import UsageError


@dataclass(frozen=True)
class TrainConfig(
    EvaluationOptions,
    RunOptions,
    OptimizationOptions,
    LossOptions,
    DataOptions,
    NetworkOptions,
    ImageOptions,
):
    """All that decides a training run. Raises UsageError for values that cannot work."""

    def __post_init__(self):
        _validate_data(self)
        validate_network(**{name: getattr(self, name) for name in NETWORK_OPTIONS})
        every = ("log_every", "sample_every", "save_every", "penalty_every")
        for name in ("steps", *every, "d_steps", "accumulate"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        printable = str(self.out).isprintable()  # TensorBoard cannot log to other names
        require(printable, "out", ascii(str(self.out)), "a printable name")
        require(self.batch_size >= 2, "batch_size", self.batch_size, "at least 2 (for batch norm)")
        for name in ("lr_G", "lr_D"):
            require(0 < getattr(self, name) < 1, name, getattr(self, name), "between 0 and 1")
        for name in ("beta1", "beta2"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "at least 0, below 1")
        require(self.threads is None or self.threads >= 1, "threads", self.threads, "at least 1")
        for name in ("keep", "ema_images", "eval_every", "patience"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        require(0 <= self.seed < 2**63, "seed", self.seed, "at least 0, below 2^63")
        for name in ("r1", "r2", "gradient_penalty"):
            valid = 0 <= getattr(self, name) < math.inf
            require(valid, name, getattr(self, name), "at least 0, and finite")
        # By less than 1 they would shrink for ever: what is usual follows from what was clipped.
        valid = self.clip == 0 or 1 < self.clip < math.inf
        require(valid, "clip", self.clip, "above 1, or 0 for none")
        smoothing, p = self.label_smoothing, self.augment_p
        require(0 <= smoothing < 1, "label_smoothing", smoothing, "at least 0, below 1")
        valid = p in ("adaptive", "auto") or 0 <= p <= 1
        require(valid, "augment_p", p, "from 0 to 1, adaptive or auto")
        twice = len(set(self.augment)) < len(self.augment)
        require(not twice, "augment", " ".join(self.augment), "each kind once")
        parts = self.batch_size // self.accumulate
        divides = self.batch_size % self.accumulate == 0 and parts >= 2
        require(divides, "accumulate", self.accumulate, "a divisor of --batch-size, below it")
        non_saturating = self.loss == "non-saturating"
        rule = "left out but for --loss non-saturating"
        require(not smoothing or non_saturating, "label_smoothing", smoothing, rule)
        smooth_D = self.loss != "wasserstein" or has_penalties(self) or self.spectral_norm
        rule = "given with --gradient-penalty, --r1, --r2 or --spectral-norm"
        require(smooth_D, "loss", self.loss, rule)
        require(
            self.eval_images >= MIN_IMAGES,
            "eval_images",
            self.eval_images,
            f"at least {MIN_IMAGES}",
        )
        if self.patience and not self.eval_every:
            raise UsageError("--patience counts evaluations: give --eval-every too")


def has_penalties(config: TrainConfig) -> bool:
    """Whether D's gradients are penalized in some steps."""
    return bool(config.r1 or config.r2 or config.gradient_penalty)


@dataclass(frozen=True)
class PrepareConfig(PackedOptions, DataOptions, ImageOptions):
    """All that decides a packed folder. Raises UsageError for values that cannot work."""

    def __post_init__(self):
        _validate_data(self)


def _validate_data(options: TrainConfig | PrepareConfig) -> None:
    validate_size(options.size)
    require(options.count >= 1, "count", options.count, "at least 1")
    require(options.crop is None or options.crop >= 1, "crop", options.crop, "at least 1")
    require(0 <= options.max_bad <= 1, "max_bad", options.max_bad, "from 0 to 1")
    require(
        options.workers is None or options.workers >= 1, "workers", options.workers, "at least 1"
    )


def config_to_dict(config: TrainConfig) -> dict:
    """Plain values that JSON can hold."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(config).items()
    }
