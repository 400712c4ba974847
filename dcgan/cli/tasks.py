"""Commands with tasks of their own, such as `dcgan denoise train`."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dcgan.cli.parsing import parse_flags, split_choice
from dcgan.config.network_training import NetworkTrainConfig
from dcgan.errors import UsageError
from dcgan.runtime.terminal import print_lines

Task = Callable[[Sequence[str], str], None]
Config = TypeVar("Config", bound=NetworkTrainConfig)


def run_task(tasks: Mapping[str, Task], args: Sequence[str], prog: str) -> None:
    """Run the task that the first word names. Raises UsageError for other words, and for none."""
    task, rest = split_choice(args, tuple(tasks), "task")
    if task is not None:
        tasks[task](rest, f"{prog} {task}")
    elif {"-h", "--help"} & set(args):
        lines = (f"  {name:<10}  {function.__doc__}" for name, function in tasks.items())
        print_lines(f"usage: {prog} TASK [--help | flags]", "", *lines)
    else:
        raise UsageError(f"name a task: {prog} {'|'.join(tasks)}; see {prog} --help")


def parse_training(
    kind: type[Config],
    args: Sequence[str],
    prog: str,
    description: str | None,
    options_of_run: Callable[[Path], NetworkTrainConfig | None],
    defaults: Mapping[str, Any] | None = None,
) -> Config:
    """Parse the flags of a training; those that are left out are those of the run in --out.

    `options_of_run`: see `deconv.training.options_of_run`. `defaults`: of a new run.
    """
    from dcgan.runs.layout import CHECKPOINTS, CONFIG_FILE

    config = parse_flags(kind, args, prog, description, defaults)
    if not any((config.out / name).exists() for name in (CHECKPOINTS, CONFIG_FILE)):
        return config
    if (begun := options_of_run(config.out)) is None:
        return config
    options = {field.name: getattr(begun, field.name) for field in dataclasses.fields(begun)}
    return parse_flags(kind, args, prog, description, options)
