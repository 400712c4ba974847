"""`dcgan denoise train`, `apply` and `evaluate`."""

import dataclasses
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from dcgan.cli.parsing import parse_flags, split_choice
from dcgan.config.denoising import (
    DenoiseApplyConfig,
    DenoiseEvaluateConfig,
    DenoiseTrainConfig,
)
from dcgan.errors import UsageError
from dcgan.runtime.terminal import print_lines


def denoise(args: Sequence[str], prog: str) -> None:
    """Train a denoising autoencoder, apply it to a picture, or measure its PSNR."""
    task, rest = split_choice(args, tuple(TASKS), "task")
    if task is not None:
        TASKS[task](rest, f"{prog} {task}")
    elif {"-h", "--help"} & set(args):
        lines = (f"  {name:<10}  {function.__doc__}" for name, function in TASKS.items())
        print_lines(f"usage: {prog} TASK [--help | flags]", "", *lines)
    else:
        raise UsageError(f"name a task: {prog} {'|'.join(TASKS)}; see {prog} --help")


def _train(args: Sequence[str], prog: str) -> None:
    """Train a denoising autoencoder on a packed folder, or resume the run in --out."""
    config = parse_flags(DenoiseTrainConfig, args, prog, _train.__doc__)
    if defaults := _options_of_run(config.out):
        config = parse_flags(DenoiseTrainConfig, args, prog, _train.__doc__, defaults)

    from dcgan.deconv import autoencoder

    checkpoint = autoencoder.train(config)
    run = checkpoint.parent.parent
    report = DenoiseEvaluateConfig(
        run=run, data=config.data, out=run / "denoised.png", device=config.device
    )
    print_lines(*autoencoder.table(autoencoder.evaluate(report)))
    print_lines(
        f"examples     {report.out}",
        f"checkpoint   {checkpoint}",
        f"TensorBoard  tensorboard --logdir {shlex.quote(str(run.parent))}",
    )


def _apply(args: Sequence[str], prog: str) -> None:
    """Denoise a picture of your own by a trained autoencoder."""
    config = parse_flags(DenoiseApplyConfig, args, prog, _apply.__doc__)

    from dcgan.deconv import autoencoder

    print_lines(autoencoder.apply(config))


def _evaluate(args: Sequence[str], prog: str) -> None:
    """Measure the PSNR on held-out images, beside a median filter and PCA."""
    config = parse_flags(DenoiseEvaluateConfig, args, prog, _evaluate.__doc__)

    from dcgan.deconv import autoencoder

    print_lines(*autoencoder.table(autoencoder.evaluate(config)), config.out)


TASKS: dict[str, Callable[[Sequence[str], str], None]] = {
    "train": _train,
    "apply": _apply,
    "evaluate": _evaluate,
}


def _options_of_run(run: Path) -> dict | None:
    """The options of the run in a folder; None for a new run."""
    from dcgan.runs.layout import CHECKPOINTS, CONFIG_FILE

    if not any((run / name).exists() for name in (CHECKPOINTS, CONFIG_FILE)):
        return None

    from dcgan.deconv.autoencoder.state import DenoisingState
    from dcgan.deconv.training import options_of_run

    config = options_of_run(DenoisingState, run)
    names = [field.name for field in dataclasses.fields(DenoiseTrainConfig)]
    return None if config is None else {name: getattr(config, name) for name in names}
