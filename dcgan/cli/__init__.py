"""The command line: `dcgan COMMAND ...`, `train.py` and `sample.py`."""

from dcgan.cli.commands import (
    compare,
    direction,
    doctor,
    evaluate,
    neighbours,
    prepare,
    sample,
    timelapse,
    train,
    walk,
)
from dcgan.cli.entry import main, run

__all__ = [
    "compare",
    "direction",
    "doctor",
    "evaluate",
    "main",
    "neighbours",
    "prepare",
    "run",
    "sample",
    "timelapse",
    "train",
    "walk",
]
