"""The command line: `dcgan COMMAND ...`, `train.py` and `sample.py`."""

from dcgan.cli.commands import (
    canvas,
    compare,
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
    "canvas",
    "compare",
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
