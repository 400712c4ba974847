"""`dcgan denoise train`, `apply` and `evaluate`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from dcgan.cli.parsing import parse_flags
from dcgan.cli.tasks import Task, parse_training, run_task
from dcgan.config.denoising import (
    DenoiseApplyConfig,
    DenoiseEvaluateConfig,
    DenoiseTrainConfig,
)
from dcgan.config.network_training import NetworkTrainConfig
from dcgan.runtime.terminal import print_lines


def denoise(args: Sequence[str], prog: str) -> None:
    """Train a denoising autoencoder, apply it to a picture, or measure its PSNR."""
    run_task(TASKS, args, prog)


def _train(args: Sequence[str], prog: str) -> None:
    """Train a denoising autoencoder on a packed folder, or resume the run in --out."""
    config = parse_training(DenoiseTrainConfig, args, prog, _train.__doc__, _options_of_run)

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


TASKS: dict[str, Task] = {"train": _train, "apply": _apply, "evaluate": _evaluate}


def _options_of_run(run: Path) -> NetworkTrainConfig | None:
    from dcgan.deconv.autoencoder.state import DenoisingState
    from dcgan.deconv.training import options_of_run

    return options_of_run(DenoisingState, run)
