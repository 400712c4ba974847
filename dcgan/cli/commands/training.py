"""`dcgan train` and `dcgan doctor`."""

import json
import os
import shlex
from collections.abc import Sequence

from dcgan.cli.train_parsing import parse_train_config
from dcgan.config import PRESETS, config_to_dict
from dcgan.errors import UserError
from dcgan.runtime.terminal import print_lines


def train(args: Sequence[str], prog: str) -> None:
    """Train a DCGAN on CelebA, LSUN, your own images or the built-in cartoon faces."""
    config = parse_train_config(args, prog, "train a DCGAN.")
    if config.dry_run:
        print_lines(*json.dumps(config_to_dict(config), indent=2).split("\n"))
        return

    from dcgan.runs import layout
    from dcgan.training import loop

    checkpoint = loop.train(config)
    if int(os.environ.get("RANK", 0)) == 0:
        run = checkpoint.parent.parent
        if grid := layout.latest_sample_grid(run):
            print_lines(f"sample grid  {grid}")
        print_lines(f"checkpoint   {checkpoint}")
        print_lines(f"TensorBoard  tensorboard --logdir {shlex.quote(str(run.parent))}")


def doctor(args: Sequence[str], prog: str) -> None:
    """Check the data and try out a training run: speed, memory, disk space, resuming."""
    if args and not args[0].startswith("-") and args[0] not in PRESETS:
        args = ["--data", *args]
    description = (
        "check the data and try out a training run; "
        f"or {prog} PACKED [flags] for a packed folder. Nothing is kept."
    )
    config = parse_train_config(args, prog, description)

    from dcgan.reports.doctor import diagnose

    def report(topic: str, line: str) -> None:
        print_lines(f"{topic:<10} {line}")

    if problems := diagnose(config, report):
        raise UserError(f"not fit to train: {'; '.join(problems)}")
    print_lines("fit to train")
