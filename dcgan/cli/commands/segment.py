"""`dcgan segment train`, `predict` and `evaluate`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from dcgan.cli.parsing import parse_flags
from dcgan.cli.tasks import Task, parse_training, run_task
from dcgan.config.network_training import NetworkTrainConfig
from dcgan.config.segmentation import (
    SEGMENT_PRESETS,
    SegmentEvaluateConfig,
    SegmentPredictConfig,
    SegmentTrainConfig,
)
from dcgan.runtime.terminal import print_lines


def segment(args: Sequence[str], prog: str) -> None:
    """Train a network that classifies every pixel, apply it to a picture, or measure it."""
    run_task(TASKS, args, prog)


def _train(args: Sequence[str], prog: str) -> None:
    """Train a fully convolutional network on images with masks, or resume the run in --out."""
    preset = args[0] if args and args[0] in SEGMENT_PRESETS else None
    description = (
        f"{prog} [PRESET] DATA [flags]: {_train.__doc__} PRESET is one of "
        f"{', '.join(SEGMENT_PRESETS)}; sgd is the optimizer of Long et al. 2015, and heavy their "
        f"training on one image at a time."
    )
    config = parse_training(
        SegmentTrainConfig,
        args[1:] if preset else args,
        prog,
        description,
        _options_of_run,
        vars(SEGMENT_PRESETS[preset or "adam"]),
    )

    from dcgan.deconv import fcn

    checkpoint = fcn.train(config)
    run = checkpoint.parent.parent
    report = SegmentEvaluateConfig(run=run, out=run / "segmented.png", device=config.device)
    print_lines(*fcn.evaluate(report).scores.lines())
    print_lines(
        f"examples     {report.out}",
        f"checkpoint   {checkpoint}",
        f"TensorBoard  tensorboard --logdir {shlex.quote(str(run.parent))}",
    )


def _predict(args: Sequence[str], prog: str) -> None:
    """Find the class of every pixel of a picture of your own."""
    config = parse_flags(SegmentPredictConfig, args, prog, _predict.__doc__)

    from dcgan.deconv import fcn

    shares = fcn.predict(config)
    print_lines(*(f"{share:6.1%}  {name}" for name, share in shares.items()))
    print_lines(*(path for path in (config.out, config.index) if path))


def _evaluate(args: Sequence[str], prog: str) -> None:
    """Measure accuracies and intersections over unions on images with masks."""
    config = parse_flags(SegmentEvaluateConfig, args, prog, _evaluate.__doc__)

    from dcgan.deconv import fcn

    print_lines(*fcn.evaluate(config).scores.lines(), config.out)


TASKS: dict[str, Task] = {"train": _train, "predict": _predict, "evaluate": _evaluate}


def _options_of_run(run: Path) -> NetworkTrainConfig | None:
    from dcgan.deconv.fcn.state import SegmentationState
    from dcgan.deconv.training import options_of_run

    return options_of_run(SegmentationState, run)
