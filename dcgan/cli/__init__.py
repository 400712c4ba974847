"""The command line: `dcgan COMMAND ...`, `train.py` and `sample.py`."""

from dcgan.cli.commands import (
    arithmetic,
    canvas,
    compare,
    direction,
    doctor,
    evaluate,
    invert,
    neighbours,
    prepare,
    sample,
    sizes,
    sparse,
    timelapse,
    train,
    walk,
)
from dcgan.cli.entry import main, run

__all__ = [
    "arithmetic",
    "canvas",
    "compare",
    "direction",
    "doctor",
    "evaluate",
    "invert",
    "main",
    "neighbours",
    "prepare",
    "run",
    "sample",
    "sizes",
    "sparse",
    "timelapse",
    "train",
    "walk",
]
